import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable, Writable } from 'node:stream';
import { test } from 'node:test';
import { downloadSnapshot, downloadToTargets, uploadSnapshot } from '../../src/index.ts';
import '../support/in-memory.ts';
import { needsLoop, Scratch } from '../support/loop.ts';
import {
  BLOCK,
  firstWrongBlock,
  GIB,
  randomBlocks,
  recorder,
  scratch,
  startService,
} from '../support/service.ts';

const indexes = [0, 1, 700, GIB / BLOCK - 1];

/** Most tests share it, so that a gigabyte is hashed once to know what they expect. */
const blocks = randomBlocks(indexes);
const expected = sha256OfVolume(blocks);

function sha256OfVolume(blocksOfVolume: ReadonlyMap<number, Buffer>): string {
  const hash = createHash('sha256');
  const zeros = Buffer.alloc(BLOCK);
  for (let at = 0; at < GIB / BLOCK; at++) hash.update(blocksOfVolume.get(at) ?? zeros);
  return hash.digest('hex');
}

test('a download returns the SHA-256 of the file, and so does an upload of it', async (t) => {
  const { emulator, service } = await startService(t);
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
  const target = join(scratch(t), 'disk.img');
  const { events, onEvent } = recorder();
  const { sha256 } = await downloadSnapshot({ snapshotId, target, sha256: true, onEvent, ...service });
  assert.equal(await firstWrongBlock(target, blocks, GIB), undefined);
  assert.equal(sha256, expected);
  const hashed = events.flatMap((event) =>
    event.type === 'phase' && event.phase === 'hashing' ? [event] : [],
  );
  assert.equal(hashed.at(-1)?.bytesDone, GIB);
  const again = await uploadSnapshot({ source: target, sha256: true, ...service });
  assert.equal(again.sha256, sha256);
});

test('the SHA-256 is that of the source itself, not of the volume, and absent unless requested', async (t) => {
  const { service } = await startService(t);
  const source = join(scratch(t), 'small.img');
  const data = Buffer.alloc(5_000_001, 'x');
  writeFileSync(source, data);
  const { sha256 } = await uploadSnapshot({ source, sha256: true, ...service });
  assert.equal(sha256, createHash('sha256').update(data).digest('hex'));
  assert.ok(!('sha256' in (await uploadSnapshot({ source, ...service }))));
});

test('of a larger device, the SHA-256 is that of the volume', needsLoop, async (t) => {
  const { emulator, service } = await startService(t);
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
  const space = await Scratch.for(t);
  process.env.STATE_DIRECTORY = space.directory;
  const { device, backing } = await space.loop({ bytes: GIB + BLOCK });
  const { sha256 } = await downloadSnapshot({ snapshotId, target: device, sha256: true, ...service });
  assert.equal(await firstWrongBlock(backing, blocks, GIB + BLOCK), undefined);
  assert.equal(sha256, expected);
});

test('an incremental download returns the SHA-256, too', async (t) => {
  const { emulator, service } = await startService(t);
  const earlier = new Map([...blocks, ...randomBlocks([1])]);
  const base = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: earlier });
  const changed = new Map([...blocks].filter(([index]) => index === 1));
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: changed, parent: base });
  const target = join(scratch(t), 'disk.img');
  await downloadSnapshot({ snapshotId: base, target, ...service });
  const { sha256 } = await downloadSnapshot({ snapshotId, since: base, target, sha256: true, ...service });
  assert.equal(await firstWrongBlock(target, blocks, GIB), undefined);
  assert.equal(sha256, expected);
});

test('each of several targets has its SHA-256', async (t) => {
  const { emulator, service } = await startService(t);
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
  const place = scratch(t);
  const targets = ['a.img', 'b.img'].map((name) => join(place, name));
  const result = await downloadToTargets({ snapshotId, targets, sha256: true, ...service });
  for (const path of targets) assert.equal(await firstWrongBlock(path, blocks, GIB), undefined);
  assert.deepEqual(
    result.targets,
    targets.map((path) => ({ path, ok: true, sha256: expected })),
  );
});

test('one of several targets that cannot be hashed is not known to be whole', async (t) => {
  const { emulator, service } = await startService(t);
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
  const place = scratch(t);
  const targets = ['a.img', 'b.img'].map((name) => join(place, name)) as [string, string];
  const onEvent = (event: { type: string; phase?: string }) => {
    if (event.phase === 'hashing') rmSync(targets[1], { force: true });
  };
  const result = await downloadToTargets({ snapshotId, targets, sha256: true, onEvent, ...service });
  assert.deepEqual(
    result.targets.map(({ ok, error }) => [ok, error?.code]),
    [
      [true, undefined],
      [false, 'SOURCE_MISSING'],
    ],
  );
});

test('a stream cannot be hashed, and nothing is sent or received', async (t) => {
  const { emulator, service } = await startService(t);
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: {} });
  const target = new Writable({ write: (_chunk, _encoding, done) => done() });
  await assert.rejects(downloadSnapshot({ snapshotId, target, sha256: true, ...service }), {
    class: 'usage',
    code: 'TARGET_NOT_READ_BACK',
  });
  const source = Readable.from([Buffer.alloc(512)]);
  await assert.rejects(uploadSnapshot({ source, volumeSizeGiB: 1, sha256: true, ...service }), {
    class: 'usage',
    code: 'SOURCE_NOT_HASHED',
  });
  assert.deepEqual(emulator.requests(), []);
});

test('an image that cannot be hashed any more is whole, and the run fails', async (t) => {
  const { emulator, service } = await startService(t);
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
  const target = join(scratch(t), 'disk.img');
  const controller = new AbortController();
  const onEvent = (event: { type: string; phase?: string }) => {
    if (event.phase === 'hashing') controller.abort();
  };
  const options = { snapshotId, target, sha256: true, onEvent, signal: controller.signal, ...service };
  await assert.rejects(downloadSnapshot(options), { class: 'aborted' });
  assert.ok(existsSync(target));
  assert.ok(!existsSync(`${target}.partial`));
});
