/**
 * Another coldsnap (the binary in COLDSNAP_PEER) against the emulator, and this tool against its snapshots. Both have the
 * 0.12 command line in common.
 */

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { type Emulator, type EmulatorOptions, startEmulator } from '../../src/emulator/index.ts';

const BLOCK = 524_288;
const GIB = 2 ** 30;
const ours = fileURLToPath(new URL('../../bin/coldsnap.js', import.meta.url));
const peer = process.env.COLDSNAP_PEER ?? '';
const built = existsSync(new URL('../../dist/cli/main.js', import.meta.url));

const needsPeer = { skip: peer === '' && 'no other coldsnap to try: give its path in COLDSNAP_PEER' };
const needsBoth = { skip: needsPeer.skip || (!built && 'this tool is not built: npm run build') };

const run = promisify(execFile);

/** Both tools may leave state behind in their home. */
const home = await mkdtemp(join(tmpdir(), 'interop-home-'));
after(() => rm(home, { recursive: true, force: true }));

/** Runs a coldsnap with known credentials; resolves with its stdout, rejects when it exits with anything but 0. */
async function coldsnap(tool: string, emulator: Emulator, ...args: string[]): Promise<string> {
  const [file, first] = tool === ours ? [process.execPath, [ours]] : [tool, []];
  const env = {
    PATH: process.env.PATH,
    HOME: home,
    AWS_ACCESS_KEY_ID: 'AKIDINTEROP',
    AWS_SECRET_ACCESS_KEY: 'a secret',
    AWS_REGION: 'us-east-1',
    AWS_EC2_METADATA_DISABLED: 'true',
  };
  const { stdout } = await run(file, [...first, '--endpoint', emulator.url, ...args], { env });
  return stdout.trim();
}

/** An emulator that verifies signatures, and a directory; both are gone after the test. */
async function setUp(t: TestContext, options: EmulatorOptions = {}) {
  const emulator = await startEmulator({
    region: 'us-east-1',
    credentials: { AKIDINTEROP: { secretAccessKey: 'a secret' } },
    ...options,
  });
  const directory = await mkdtemp(join(tmpdir(), 'interop-'));
  t.after(async () => {
    await emulator.close();
    await rm(directory, { recursive: true, force: true });
  });
  return { emulator, path: (name: string) => join(directory, name) };
}

/** Blocks at both ends, in runs and alone, one of them all zeros. */
function someBlocks(): Map<number, Buffer> {
  const indexes = [0, 1, 2, 17, 100, 101, 1024, 2047];
  const blocks = new Map(indexes.map((index) => [index, randomBytes(BLOCK)]));
  return blocks.set(500, Buffer.alloc(BLOCK));
}

/** Writes an image file of 1 GiB with these blocks and holes between them. */
async function writeImage(path: string, blocks: ReadonlyMap<number, Buffer>): Promise<void> {
  const file = await open(path, 'wx');
  await file.truncate(GIB);
  for (const [index, data] of blocks) await file.write(data, 0, BLOCK, index * BLOCK);
  await file.close();
}

/** The image is 1 GiB, holds these blocks, and zeros everywhere else. */
async function assertImage(path: string, blocks: ReadonlyMap<number, Buffer>): Promise<void> {
  const file = await open(path);
  assert.equal((await file.stat()).size, GIB);
  const zeros = Buffer.alloc(BLOCK);
  const buffer = Buffer.alloc(BLOCK);
  for (let index = 0; index < GIB / BLOCK; index++) {
    await file.read(buffer, 0, BLOCK, index * BLOCK);
    assert.ok(buffer.equals(blocks.get(index) ?? zeros), `block ${index}`);
  }
  await file.close();
}

test('the peer downloads what is there, over short and empty pages', needsPeer, async (t) => {
  const { emulator, path } = await setUp(t, { pageSize: 3, emptyPages: true });
  const blocks = someBlocks();
  const id = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
  await coldsnap(peer, emulator, 'download', '--no-progress', id, path('disk.img'));
  await assertImage(path('disk.img'), blocks);
  assert.equal(
    emulator.requests('GetSnapshotBlock').filter(({ status }) => status === 200).length,
    blocks.size,
  );
});

test('what the peer uploads is complete, and this tool restores it', needsBoth, async (t) => {
  const { emulator, path } = await setUp(t, { completionDelayMs: 200, notVisibleMs: 100 });
  const blocks = someBlocks();
  await writeImage(path('source.img'), blocks);
  const upload = [
    'upload',
    '--no-progress',
    '--omit-zero-blocks',
    '--description',
    'a disk',
    '--tag',
    'Key=a,Value=b',
  ];
  const id = await coldsnap(peer, emulator, ...upload, path('source.img'));
  await coldsnap(peer, emulator, 'wait', '--seconds-between-attempts', '1', '--successes-required', '1', id);
  const snapshot = emulator.snapshot(id)!;
  assert.deepEqual(
    [snapshot.status, snapshot.description, snapshot.tags, snapshot.volumeSizeGiB],
    ['completed', 'a disk', { a: 'b' }, 1],
  );
  await coldsnap(ours, emulator, 'download', '--no-progress', id, path('ours.img'));
  await assertImage(path('ours.img'), blocks);
});

test('what this tool uploads, the peer restores', needsBoth, async (t) => {
  const { emulator, path } = await setUp(t, { completionDelayMs: 200 });
  const blocks = someBlocks();
  await writeImage(path('source.img'), blocks);
  const id = await coldsnap(
    ours,
    emulator,
    'upload',
    '--no-progress',
    '--omit-zero-blocks',
    '--wait',
    path('source.img'),
  );
  assert.equal(emulator.snapshot(id)?.status, 'completed');
  await coldsnap(peer, emulator, 'download', '--no-progress', id, path('peer.img'));
  await assertImage(path('peer.img'), blocks);
});

test('both restore a child of the other with its parent under it', needsBoth, async (t) => {
  const { emulator, path } = await setUp(t);
  const base = someBlocks();
  const parent = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: base });
  const changed = new Map([...base, [3, randomBytes(BLOCK)], [100, randomBytes(BLOCK)]]);
  await writeImage(path('source.img'), changed);
  for (const [uploader, downloader] of [
    [peer, ours],
    [ours, peer],
  ] as const) {
    const upload = ['upload', '--no-progress', '--wait', '--parent-snapshot-id', parent, path('source.img')];
    const id = await coldsnap(uploader, emulator, ...upload);
    const target = path(`${id}.img`);
    await coldsnap(downloader, emulator, 'download', '--no-progress', id, target);
    await assertImage(target, changed);
    await rm(target);
  }
});
