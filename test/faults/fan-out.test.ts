/** System calls on one of two targets that strace makes fail: the other becomes whole, and the printed command finishes both. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, type TestContext, test } from 'node:test';
import { type Emulator, startEmulator } from '../../src/emulator/index.ts';
import { noLoopDevices, Scratch } from '../support/loop.ts';
import { bytesAt, firstWrongBlock, GIB, randomBlocks } from '../support/service.ts';
import { Command, journalledBlocks, needsStrace } from './command.ts';

const BLOCK = 4_096;
const blocks = randomBlocks(
  // All but the first and the last lie outside what is staged.
  [0, ...Array.from({ length: 39 }, (_, at) => 600 + at * 8), GIB / BLOCK - 1],
  [3, 800],
  BLOCK,
);

let emulator: Emulator;
let command: Command;
let snapshotId: string;
const directory = mkdtempSync(join(tmpdir(), 'coldsnap-fan-out-'));
before(async () => {
  command = await Command.compile(directory);
  emulator = await startEmulator({ blockSize: BLOCK });
  snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
});
after(async () => {
  await emulator.close();
  rmSync(directory, { recursive: true });
});

/** The fault, the target on which it is injected, and the message; link and rename are called for a commit alone. */
const failures: [kind: 'file' | 'device', fault: string, message: RegExp][] = [
  ['file', 'pwrite64:error=EIO:when=5', /could not write to \S+disk\.img\.partial.*: input\/output error/],
  ['file', 'fdatasync:error=EIO:when=1', /could not sync \S+disk\.img\.partial: input\/output error/],
  ['file', 'fsync:error=EIO:when=1', /could not sync \S+disk\.img\.partial: input\/output error/],
  ['file', 'ftruncate:error=EFBIG:when=1', /could not give \S+disk\.img\.partial a size/],
  ['device', 'pwrite64:error=EIO:when=5', /could not write to \/dev\/loop\d+.*: input\/output error/],
  ['device', 'fdatasync:error=EIO:when=3', /could not sync \/dev\/loop\d+: input\/output error/],
  ['device', 'fsync:error=EIO:when=1', /could not sync \/dev\/loop\d+: input\/output error/],
];

async function check(t: TestContext, kind: 'file' | 'device', fault: string, message: RegExp): Promise<void> {
  const scratch = await Scratch.for(t);
  const other = scratch.path('other.img');
  const { device, backing } =
    kind === 'device' ? await scratch.loop({ bytes: GIB }) : { device: undefined, backing: undefined };
  const target = device ?? scratch.path('disk.img');
  const stateDirectory = scratch.directory;
  const args = ['download', snapshotId, target, other, '--workers', '4'];
  const strace = [`trace=${fault.split(':', 1)[0]}`, `inject=${fault}`];
  const stracePath = device ?? `${target}.partial`;
  const options = { strace, checkpointMs: 5, stracePath, stateDirectory };
  const { end, stderr, stdout } = await command.run(emulator.url, args, options);
  assert.deepEqual([end, stdout], [1, ''], stderr);
  assert.match(stderr, message);
  assert.match(stderr, new RegExp(`^${target} is not whole: .*\n${other} is whole$`, 'm'));
  assert.equal(await firstWrongBlock(other, blocks, GIB, BLOCK), undefined);

  // The failed target looks unfinished, and its journal lists only what is there.
  const image = backing ?? `${target}.partial`;
  if (device === undefined) assert.ok(!existsSync(target));
  else assert.ok(bytesAt(image, 0, BLOCK).every((byte) => byte === 0));
  const journal = readdirSync(scratch.directory).find((name) => name.endsWith('.coldsnap-progress'));
  const safe = journal === undefined ? new Set<number>() : journalledBlocks(scratch.path(journal));
  for (const [block, data] of blocks)
    if (safe.has(block)) assert.ok(data.equals(bytesAt(image, block * BLOCK, BLOCK)), `block ${block}`);

  const again = /^ {2}Run it again: coldsnap (.*)$/m.exec(stderr)?.[1]?.split(' ') ?? [];
  assert.deepEqual(again, ['--endpoint', emulator.url, 'download', snapshotId, target, '--workers', '4']);
  emulator.clearLog();
  const second = await command.run(emulator.url, again.slice(2), { stateDirectory });
  assert.equal(second.end, 0, second.stderr);
  assert.equal(await firstWrongBlock(backing ?? target, blocks, GIB, BLOCK), undefined);
  const requested = emulator.requests('GetSnapshotBlock').map(({ blockIndex }) => blockIndex as number);
  assert.ok(!requested.some((block) => safe.has(block)), 'what was safe was fetched again');
}

describe('a system call that fails on one of two targets drops that one', needsStrace, () => {
  for (const [kind, fault, message] of failures) {
    const skip = kind === 'device' ? noLoopDevices : undefined;
    test(`${kind}: ${fault}`, skip === undefined ? {} : { skip }, (t) => check(t, kind, fault, message));
  }
});
