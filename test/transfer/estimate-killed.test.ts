/**
 * Dry runs after a run that was killed when its work was whole and before its journal was removed, which is what
 * `keepCheckpoint` leaves: they say what the same command then does.
 */
import assert from 'node:assert/strict';
import { appendFileSync, closeSync, openSync, renameSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import {
  copySnapshot,
  type DownloadOptions,
  downloadSnapshot,
  downloadToTargets,
  estimateCopy,
  estimateDownload,
  estimateDownloadToTargets,
  estimateUpload,
  uploadSnapshot,
} from '../../src/index.ts';
import { needsLoop, Scratch } from '../support/loop.ts';
import { startRegions } from '../support/regions.ts';
import { bytesAt, GIB, randomBlocks, recorder, scratch, startService } from '../support/service.ts';
import { stateOf } from '../support/state-of.ts';

const BLOCK = 16_384;
const keepCheckpoint = true;

async function start(t: TestContext) {
  process.env.STATE_DIRECTORY = scratch(t);
  const { emulator, service } = await startService(t, { blockSize: BLOCK });
  const since = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: randomBlocks([0, 1, 9], [], BLOCK) });
  const snapshotId = await emulator.putSnapshot({
    volumeSizeGiB: 2,
    blocks: randomBlocks([1, 2, 700], [], BLOCK),
    parent: since,
    gone: [9],
  });
  const directory = scratch(t);
  return { emulator, service, since, snapshotId, directory, target: join(directory, 'disk.img') };
}

/** Asserts that the plan of a download is what the download does, and changes nothing. */
async function assertPlanned(options: DownloadOptions, directory: string): Promise<void> {
  const before = stateOf(directory);
  const { blocks, bytes, bytesResumed, overwrites } = await estimateDownload(options);
  assert.deepEqual(stateOf(directory), before);
  const { events, onEvent } = recorder();
  const done = await downloadSnapshot({ ...options, onEvent });
  assert.deepEqual([blocks, bytes], [done.blocksTransferred, done.bytesTransferred]);
  assert.equal(bytesResumed, done.bytesResumed);
  assert.equal(overwrites, undefined);
  assert.deepEqual(
    events.filter(({ type }) => type === 'warning'),
    [],
  );
}

test('a download to a file has nothing to do, without a request', async (t) => {
  const { emulator, service, snapshotId, directory, target } = await start(t);
  const options = { ...service, snapshotId, target };
  await downloadSnapshot({ ...options, keepCheckpoint });
  emulator.clearLog();
  const { requests, volumeSize, bytesResumed } = await estimateDownload(options);
  assert.deepEqual([requests, volumeSize, bytesResumed], [0, 2 * GIB, 2 * GIB]);
  await assertPlanned(options, directory);
  assert.deepEqual(emulator.log, []);
});

test('a download whose file has not got its name is only renamed', async (t) => {
  const { service, snapshotId, directory, target } = await start(t);
  const options = { ...service, snapshotId, target };
  await downloadSnapshot({ ...options, keepCheckpoint });
  renameSync(target, `${target}.partial`);
  await assertPlanned(options, directory);
});

test('a download whose file was written since is refused, as it is by the download', async (t) => {
  const { service, snapshotId, directory, target } = await start(t);
  const options = { ...service, snapshotId, target };
  await downloadSnapshot({ ...options, keepCheckpoint });
  appendFileSync(target, 'more');
  const before = stateOf(directory);
  await assert.rejects(estimateDownload(options), { code: 'TARGET_EXISTS' });
  await assert.rejects(downloadSnapshot(options), { code: 'TARGET_EXISTS' });
  assert.deepEqual(stateOf(directory), before);
});

test('a download from another service is refused before its list, as it is by the download', async (t) => {
  const { service, snapshotId, directory, target } = await start(t);
  const { service: other } = await startService(t, { blockSize: BLOCK });
  await downloadSnapshot({ ...service, snapshotId, target, keepCheckpoint });
  const before = stateOf(directory);
  const options = { ...other, snapshotId, target };
  await assert.rejects(estimateDownload(options), { code: 'TARGET_EXISTS' });
  await assert.rejects(downloadSnapshot(options), { code: 'TARGET_EXISTS' });
  assert.deepEqual(stateOf(directory), before);
});

test('an incremental download to a file, which is of the new size, has nothing to do', async (t) => {
  const { service, since, snapshotId, directory, target } = await start(t);
  await downloadSnapshot({ ...service, snapshotId: since, target });
  const options = { ...service, snapshotId, since, target };
  await downloadSnapshot({ ...options, keepCheckpoint });
  await assertPlanned(options, directory);
});

test('a download to several files has nothing to do, or lacks what one of them lacks', async (t) => {
  const { emulator, service, snapshotId, directory } = await start(t);
  const targets = [join(directory, 'a.img'), join(directory, 'b.img')];
  const options = { ...service, snapshotId, targets };
  await downloadToTargets({ ...options, keepCheckpoint });
  const before = stateOf(directory);
  emulator.clearLog();
  const plan = await estimateDownloadToTargets(options);
  assert.deepEqual([plan.blocks, plan.requests, plan.bytesResumed], [0, 0, 2 * GIB]);
  assert.deepEqual(
    plan.targets.map(({ blocks, bytesResumed }) => [blocks, bytesResumed]),
    targets.map(() => [0, 2 * GIB]),
  );
  assert.deepEqual(emulator.log, []);
  assert.deepEqual(stateOf(directory), before);
  const more = { ...options, targets: [...targets, join(directory, 'c.img')] };
  assert.equal((await estimateDownloadToTargets(more)).blocks, 4);
  assert.equal((await downloadToTargets(more)).blocksTransferred, 4);
});

test(
  'a download to a device commits again, or is refused where it was written since',
  needsLoop,
  async (t) => {
    const { service, since: snapshotId } = await start(t);
    const { device, backing } = await (await Scratch.for(t)).loop({ bytes: GIB });
    const options = { ...service, snapshotId, target: device };
    await downloadSnapshot({ ...options, keepCheckpoint });
    const before = bytesAt(backing, 0, 2 ** 22);
    const plan = await estimateDownload(options);
    const done = await downloadSnapshot({ ...options, keepCheckpoint });
    assert.deepEqual([plan.blocks, plan.bytesResumed], [done.blocksTransferred, done.bytesResumed]);
    assert.ok(bytesAt(backing, 0, 2 ** 22).equals(before));
    writeFileSync(device, Buffer.alloc(16 * 2 ** 20, 1));
    await assert.rejects(estimateDownload(options), { code: 'TARGET_NOT_BLANK' });
    await assert.rejects(downloadSnapshot(options), { code: 'TARGET_NOT_BLANK' });
  },
);

for (const kind of ['an upload', 'an incremental upload'] as const) {
  test(`${kind} completes the same snapshot once more`, async (t) => {
    const { service, snapshotId, directory } = await start(t);
    const source = join(directory, 'disk.img');
    const parent = { parentSnapshotId: snapshotId, incremental: true };
    const options = { ...service, source, detectHoles: true, ...(kind === 'an upload' ? {} : parent) };
    await downloadSnapshot({ ...service, snapshotId, target: source });
    const image = openSync(source, 'r+');
    writeSync(image, 'changed', 5 * BLOCK);
    closeSync(image);
    const first = await uploadSnapshot({ ...options, keepCheckpoint });
    const before = stateOf(directory);
    const plan = await estimateUpload(options);
    assert.deepEqual(stateOf(directory), before);
    assert.deepEqual([plan.snapshotId, plan.blocks], [first.snapshotId, 0]);
    const again = await uploadSnapshot(options);
    assert.deepEqual(
      [again.snapshotId, again.blocksTransferred, again.bytesResumed],
      [first.snapshotId, 0, plan.bytesResumed],
    );
  });
}

test('a copy completes the same snapshot once more', async (t) => {
  process.env.STATE_DIRECTORY = scratch(t);
  const { source, service } = await startRegions(t, { blockSize: BLOCK });
  const blocks = randomBlocks([0, 1, 700], [], BLOCK);
  const snapshotId = await source.putSnapshot({ volumeSizeGiB: 1, blocks });
  const options = { ...service, snapshotId };
  const first = await copySnapshot({ ...options, keepCheckpoint });
  const before = stateOf(process.env.STATE_DIRECTORY);
  const plan = await estimateCopy(options);
  assert.deepEqual(stateOf(process.env.STATE_DIRECTORY), before);
  assert.deepEqual([plan.snapshotId, plan.blocks], [first.snapshotId, 0]);
  const again = await copySnapshot(options);
  assert.deepEqual(
    [again.snapshotId, again.blocksTransferred, again.bytesResumed],
    [first.snapshotId, 0, plan.bytesResumed],
  );
});
