/** A signal ends the program even if the service hangs, saves the journal, and allows no write after it. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import {
  firstWrongBlock,
  GIB,
  randomBlocks,
  scratch,
  startService,
  uploadJournal,
} from '../support/service.ts';
import { Command, journalledBlocks, needsStrace } from './command.ts';

const BLOCK = 4096;
const directory = mkdtempSync(join(tmpdir(), 'coldsnap-signals-'));
let command: Command;
before(async () => {
  command = await Command.compile(directory);
});
after(() => rmSync(directory, { recursive: true }));

const download = ['download', 'SNAP', 'IMAGE', '--workers', '2'];
const upload = ['upload', 'SOURCE', '--workers', '2'];

const hanging: [operation: string, args: string[], nth: number, signal: NodeJS.Signals, exitCode: number][] =
  [
    ['ListSnapshotBlocks', download, 1, 'SIGINT', 130],
    ['GetSnapshotBlock', download, 5, 'SIGINT', 130],
    [
      'GetSnapshotBlock',
      ['download', 'SNAP', 'IMAGE', '--workers', '2', '--transport', 'sdk'],
      5,
      'SIGHUP',
      129,
    ],
    ['StartSnapshot', upload, 1, 'SIGTERM', 143],
    ['PutSnapshotBlock', upload, 5, 'SIGINT', 130],
    ['CompleteSnapshot', upload, 1, 'SIGHUP', 129],
    ['DescribeSnapshots', ['wait', 'SNAP'], 1, 'SIGINT', 130],
  ];

describe('when the service hangs', { concurrency: 3 }, () => {
  for (const [operation, args, nth, signal, exitCode] of hanging) {
    test(`${signal} ends ${args.join(' ')} in ${operation} ${nth} and saves what was done`, async (t) => {
      const { emulator } = await startService(t, { blockSize: BLOCK, pageSize: 6 });
      const blocks = randomBlocks([0, 1, 2, 3, 4, 5, 6, 7], [], BLOCK);
      const SNAP = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
      const place = scratch(t);
      const names = { SNAP, IMAGE: join(place, 'disk.img'), SOURCE: join(place, 'source.img') };
      writeFileSync(names.SOURCE, randomBytes(8 * BLOCK));
      const line = args.map((arg) => names[arg as keyof typeof names] ?? arg);
      // Stalls from the n-th request on, so that all workers hang.
      const stalled = Array.from({ length: 4 }, (_, at) => nth + at);
      emulator.setFaults(stalled.map((at) => ({ operation, nth: at, action: { type: 'stall' } })));
      const running = command.start(emulator.url, line, { checkpointMs: 3_600_000 });
      await emulator.waitForRequest((request) => request.operation === operation, nth);
      running.process.kill(signal);
      const { end, stderr } = await running.ended();
      assert.equal(end, exitCode, stderr);
      assert.match(stderr, new RegExp(`Run it again: coldsnap .*${line[0]}`));
      assert.doesNotMatch(stderr, /did not stop/);
      const done = operation === 'GetSnapshotBlock' || operation === 'PutSnapshotBlock';
      const journal = operation.startsWith('Get')
        ? `${names.IMAGE}.coldsnap-progress`
        : uploadJournal(names.SOURCE, emulator);
      if (done) assert.ok(journalledBlocks(journal).size >= nth - 1 - 2, readFileSync(journal, 'utf8'));

      if (!done) return;
      emulator.setFaults([]);
      emulator.clearLog();
      assert.equal((await command.run(emulator.url, line)).end, 0);
      if (args[0] === 'download')
        assert.equal(await firstWrongBlock(names.IMAGE, blocks, GIB, BLOCK), undefined);
      assert.ok(emulator.requests(operation).length < 8, 'blocks of the journal were transferred again');
    });
  }
});

test('no block is written after a signal', needsStrace, async (t) => {
  const { emulator } = await startService(t, { blockSize: BLOCK });
  const blocks = randomBlocks(
    Array.from({ length: 400 }, (_, at) => at),
    [],
    BLOCK,
  );
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
  const place = scratch(t);
  const image = join(place, 'disk.img');
  const trace = join(place, 'trace');
  const { end, stderr } = await command.run(emulator.url, ['download', snapshotId, image, '--workers', '4'], {
    strace: ['trace=pwrite64,write', 'inject=pwrite64:signal=SIGTERM:when=40'],
    trace,
  });
  assert.equal(end, 143, stderr);
  const calls = readFileSync(trace, 'latin1');
  const [before = '', after = ''] = calls.split('stopping (SIGTERM)');
  const writes = (text: string) => text.match(/pwrite64\(\d+<[^>]*\.partial>/g)?.length ?? 0;
  assert.ok(writes(before) >= 40);
  // Each worker may complete the write it had begun.
  assert.ok(writes(after) <= 4, `${writes(after)} writes`);
  assert.equal((await command.run(emulator.url, ['download', snapshotId, image])).end, 0);
  assert.equal(await firstWrongBlock(image, blocks, GIB, BLOCK), undefined);
});
