/** Dry runs make only list requests, and change nothing. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { describe, test } from 'node:test';
import { downloadSnapshot, estimateDownload, estimateUpload, uploadSnapshot } from '../../src/index.ts';
import { needsLoop, run, Scratch } from '../support/loop.ts';
import { BLOCK, bytesAt, GIB, randomBlocks, scratch, startService } from '../support/service.ts';
import { stateOf } from '../support/state-of.ts';

describe('a dry run of a download', () => {
  test('to a new file lists the blocks and makes nothing', async (t) => {
    const { emulator, service } = await startService(t);
    const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: randomBlocks([0, 7, 2047]) });
    const directory = scratch(t);
    const path = join(directory, 'disk.img');
    const before = stateOf(directory);
    assert.deepEqual(await estimateDownload({ ...service, snapshotId, target: path }), {
      dryRun: true,
      operation: 'download',
      snapshotId,
      path,
      volumeSize: GIB,
      blocks: 3,
      bytes: 3 * BLOCK,
      requests: 4,
      dollars: 0.0000096,
      seconds: 0.003,
      bytesResumed: 0,
    });
    assert.deepEqual(
      emulator.log.map(({ operation }) => operation),
      ['ListSnapshotBlocks'],
    );
    assert.deepEqual(stateOf(directory), before);
  });

  test('tells what would be overwritten, or refuses as the download would', async (t) => {
    const { emulator, service } = await startService(t);
    const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: {} });
    const directory = scratch(t);
    const target = join(directory, 'disk.img');
    writeFileSync(target, 'precious');
    const before = stateOf(directory);
    await assert.rejects(estimateDownload({ ...service, snapshotId, target }), { code: 'TARGET_EXISTS' });
    assert.deepEqual(emulator.log, []);
    const { overwrites } = await estimateDownload({ ...service, snapshotId, target, force: true });
    assert.match(overwrites ?? '', /disk\.img.*exists/);
    assert.deepEqual(stateOf(directory), before);
  });

  test('tells what would be resumed, and leaves journal and partial file alone', async (t) => {
    const { emulator, service } = await startService(t);
    const snapshotId = await emulator.putSnapshot({
      volumeSizeGiB: 1,
      blocks: randomBlocks([0, 1, 2, 3, 100]),
    });
    const directory = scratch(t);
    const target = join(directory, 'disk.img');
    emulator.setFaults([
      {
        operation: 'GetSnapshotBlock',
        block: 100,
        action: { type: 'error', status: 403, code: 'AccessDeniedException' },
      },
    ]);
    const options = { ...service, snapshotId, target, workers: 1 };
    await assert.rejects(downloadSnapshot(options), { code: 'ACCESS_DENIED' });
    emulator.setFaults([]);
    const before = stateOf(directory);
    emulator.clearLog();
    const planned = await estimateDownload(options);
    assert.deepEqual([planned.blocks, planned.bytes], [1, BLOCK]);
    assert.ok(planned.bytesResumed >= 4 * BLOCK);
    const fresh = await estimateDownload({ ...options, fresh: true });
    assert.deepEqual([fresh.blocks, fresh.bytesResumed], [5, 0]);
    assert.deepEqual(stateOf(directory), before);
    assert.ok(emulator.log.every(({ operation }) => operation === 'ListSnapshotBlocks'));
    const { blocksTransferred, bytesResumed } = await downloadSnapshot(options);
    assert.deepEqual([blocksTransferred, bytesResumed], [planned.blocks, planned.bytesResumed]);
  });

  test('ignores a damaged journal without moving it', async (t) => {
    const { emulator, service } = await startService(t);
    const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: randomBlocks([0]) });
    const directory = scratch(t);
    const target = join(directory, 'disk.img');
    writeFileSync(`${target}.coldsnap-progress`, 'no journal');
    const before = stateOf(directory);
    assert.equal((await estimateDownload({ ...service, snapshotId, target })).bytesResumed, 0);
    assert.deepEqual(stateOf(directory), before);
  });

  test('to a FIFO does not open it', async (t) => {
    const { emulator, service } = await startService(t);
    const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: randomBlocks([0]) });
    const fifo = join(scratch(t), 'fifo');
    await run('mkfifo', fifo);
    assert.equal((await estimateDownload({ ...service, snapshotId, target: fifo })).blocks, 1);
  });

  test('to a stream leaves it open, and refuses what cannot be done with one', async (t) => {
    const { emulator, service } = await startService(t);
    const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: randomBlocks([0]) });
    const target = new PassThrough();
    const before = target.eventNames();
    const options = { ...service, snapshotId, target };
    assert.equal((await estimateDownload(options)).blocks, 1);
    for (const option of ['verify', 'sha256'])
      await assert.rejects(estimateDownload({ ...options, [option]: true }), {
        code: 'TARGET_NOT_READ_BACK',
      });
    assert.deepEqual([target.destroyed, target.writableEnded, target.eventNames()], [false, false, before]);
  });

  test('to a device names what is on it and changes no byte', needsLoop, async (t) => {
    const { emulator, service } = await startService(t);
    const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: randomBlocks([0, 5]) });
    const place = await Scratch.for(t);
    const { device, backing } = await place.loop({ bytes: GIB });
    const options = { ...service, snapshotId, target: device };
    assert.equal((await estimateDownload(options)).overwrites, undefined);
    await run('mkfs.ext4', '-q', device);
    const before = bytesAt(backing, 0, 2 ** 20);
    await assert.rejects(estimateDownload(options), { code: 'TARGET_NOT_BLANK' });
    assert.match((await estimateDownload({ ...options, force: true })).overwrites ?? '', /ext4/);
    assert.ok(bytesAt(backing, 0, 2 ** 20).equals(before));
    const { device: small } = await place.loop({ bytes: GIB / 2 });
    await assert.rejects(estimateDownload({ ...options, target: small }), { code: 'TARGET_TOO_SMALL' });
    assert.ok(emulator.log.every(({ operation }) => operation === 'ListSnapshotBlocks'));
  });
});

describe('a dry run of an upload', () => {
  const image = (path: string, size: number) => {
    writeFileSync(path, randomBytes(3 * BLOCK));
    truncateSync(path, size);
  };

  test('makes no request, no journal and no snapshot', async (t) => {
    const { emulator, service } = await startService(t);
    const directory = scratch(t);
    const source = join(directory, 'disk.img');
    image(source, 10 * BLOCK + 1);
    const before = stateOf(directory);
    const { path, ...planned } = await estimateUpload({ ...service, source });
    assert.equal(path, source);
    assert.deepEqual(planned, {
      dryRun: true,
      operation: 'upload',
      volumeSize: GIB,
      blocks: 11,
      bytes: 11 * BLOCK,
      requests: 13,
      dollars: 0.000066,
      seconds: 0.011,
      bytesResumed: 0,
    });
    assert.deepEqual(emulator.log, []);
    assert.deepEqual(stateOf(directory), before);
    assert.equal((await uploadSnapshot({ ...service, source })).blocksTransferred, 11);
  });

  test('counts holes and the zeros of a child as they would be sent', async (t) => {
    const { emulator, service } = await startService(t);
    const source = join(scratch(t), 'disk.img');
    image(source, 64 * BLOCK);
    const blocks = async (options: object) =>
      (await estimateUpload({ ...service, source, ...options })).blocks;
    const parentSnapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: {} });
    assert.equal(await blocks({ detectHoles: true }), 3);
    assert.equal(await blocks({ detectHoles: true, encrypted: true }), 64);
    assert.equal(await blocks({ parentSnapshotId }), 2048);
    assert.deepEqual(emulator.log, []);
  });

  test('says where the contents of the source decide how many blocks are sent', async (t) => {
    const { service } = await startService(t);
    const source = join(scratch(t), 'disk.img');
    image(source, 64 * BLOCK);
    const atMost = async (options: object) =>
      (await estimateUpload({ ...service, source, ...options })).atMost;
    assert.equal(await atMost({}), undefined);
    assert.equal(await atMost({ detectHoles: true }), undefined);
    assert.equal(await atMost({ omitZeroBlocks: true }), true);
    assert.equal(await atMost({ source: Readable.from([]), volumeSizeGiB: 1 }), true);
  });

  test('tells what would be resumed, and leaves the journal alone', async (t) => {
    const { emulator, service } = await startService(t);
    const directory = scratch(t);
    const source = join(directory, 'disk.img');
    image(source, 8 * BLOCK);
    emulator.setFaults([
      {
        operation: 'PutSnapshotBlock',
        block: 6,
        action: { type: 'error', status: 403, code: 'AccessDeniedException' },
      },
    ]);
    const options = { ...service, source, workers: 1 };
    await assert.rejects(uploadSnapshot(options), { code: 'ACCESS_DENIED' });
    emulator.setFaults([]);
    const before = stateOf(directory);
    emulator.clearLog();
    const planned = await estimateUpload(options);
    assert.deepEqual([planned.blocks, planned.bytesResumed], [2, 6 * BLOCK]);
    assert.match(planned.snapshotId ?? '', /^snap-/);
    assert.deepEqual(stateOf(directory), before);
    assert.deepEqual(emulator.log, []);
    const { snapshotId, blocksTransferred } = await uploadSnapshot(options);
    assert.deepEqual([snapshotId, blocksTransferred], [planned.snapshotId, 2]);
  });

  test('of a stream does not read it, and the upload can', async (t) => {
    const { service } = await startService(t);
    const source = Readable.from([randomBytes(BLOCK), randomBytes(1000)], { objectMode: false });
    const options = { ...service, source, volumeSizeGiB: 1 };
    assert.equal((await estimateUpload(options)).blocks, 2048);
    await assert.rejects(estimateUpload({ ...options, sha256: true }), { code: 'SOURCE_NOT_HASHED' });
    assert.equal((await uploadSnapshot(options)).blocksTransferred, 2);
  });

  test('refuses what the upload would refuse', async (t) => {
    const { emulator, service } = await startService(t);
    const source = join(scratch(t), 'disk.img');
    await assert.rejects(estimateUpload({ ...service, source }), { code: 'SOURCE_MISSING' });
    image(source, 4 * BLOCK);
    await assert.rejects(estimateUpload({ ...service, source, omitZeroBlocks: true, encrypted: true }), {
      code: 'OMIT_WITH_ENCRYPTION',
    });
    assert.deepEqual(emulator.log, []);
  });
});

test('a dry run of an incremental download lists only, and counts what it would fetch', async (t) => {
  const { emulator, service } = await startService(t);
  const since = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: randomBlocks([1, 2, 3, 9]) });
  const snapshotId = await emulator.putSnapshot({
    volumeSizeGiB: 1,
    parent: since,
    blocks: randomBlocks([2, 50, 2047]),
    gone: [3],
  });
  const directory = scratch(t);
  const target = join(directory, 'disk.img');
  await downloadSnapshot({ ...service, snapshotId: since, target });
  const before = stateOf(directory);
  emulator.clearLog();
  const options = { ...service, snapshotId, since, target };
  const { blocks, volumeSize, blocksToProve } = await estimateDownload(options);
  assert.equal(volumeSize, GIB);
  assert.equal(blocksToProve, 64 + 1 + 64);
  assert.equal((await estimateDownload({ ...options, verifyBase: true })).blocksToProve, 2_048);
  assert.equal((await estimateDownload({ ...options, trustBase: true })).blocksToProve, undefined);
  assert.ok(emulator.log.every(({ operation }) => /^List/.test(operation)));
  assert.deepEqual(stateOf(directory), before);
  const same = await estimateDownload({ ...options, snapshotId: since });
  assert.deepEqual([same.blocks, same.bytes, same.blocksToProve], [0, 0, 64 + 1 + 64]);
  await assert.rejects(estimateDownload({ ...options, target: join(directory, 'none') }), {
    class: 'refused',
  });
  assert.deepEqual(stateOf(directory), before);
  const { blocksTransferred } = await downloadSnapshot({ ...options, trustBase: true });
  assert.equal(blocksTransferred, blocks);
});
