import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { closeSync, createReadStream, ftruncateSync, openSync, statSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { downloadSnapshot, verifySnapshot } from '../../src/index.ts';
import { Differences } from '../../src/transfer/sinks/differences.ts';
import '../support/in-memory.ts';
import { needsLoop, run, Scratch } from '../support/loop.ts';
import { BLOCK, GIB, randomBlocks, recorder, scratch, startService } from '../support/service.ts';

const LAST = GIB / BLOCK - 1;

/** Writes blocks into a file of this size; the rest are holes. */
function writeImage(path: string, blocks: ReadonlyMap<number, Buffer>, bytes = GIB, blockSize = BLOCK): void {
  const file = openSync(path, 'a+');
  closeSync(file);
  const image = openSync(path, 'r+');
  if (statSync(path).isFile()) ftruncateSync(image, bytes);
  for (const [block, data] of blocks) writeSync(image, data, 0, data.length, block * blockSize);
  closeSync(image);
}

/** A stream of pieces that are large, for speed, and end within blocks. */
const inPieces = (path: string) => createReadStream(path, { highWaterMark: 1_000_000 });

const range = (start: number, end = start + 1) => ({ start: start * BLOCK, end: end * BLOCK });

test('finds no difference in what was downloaded, and fetches each block once', async (t) => {
  const { emulator, service } = await startService(t, { pageSize: 3 });
  const blocks = randomBlocks([0, 1, 2, 9, 500, LAST], [5]);
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
  const target = join(scratch(t), 'disk.img');
  await downloadSnapshot({ snapshotId, target, ...service });
  const before = statSync(target, { bigint: true });
  emulator.clearLog();
  const { events, onEvent } = recorder();
  const result = await verifySnapshot({ snapshotId, target, ...service, onEvent });
  assert.equal(result.equal, true);
  assert.deepEqual([result.differences, result.differencesTotal], [[], 0]);
  assert.equal(result.bytesCompared, GIB);
  assert.equal(result.bytesDone, GIB);
  assert.deepEqual([result.bytesTransferred, result.bytesToMove], [7 * BLOCK, 7 * BLOCK]);
  const fetched = emulator.requests('GetSnapshotBlock').map(({ blockIndex }) => blockIndex as number);
  assert.deepEqual(
    fetched.sort((a, b) => a - b),
    [...blocks.keys()],
  );
  assert.equal(events.find(({ type }) => type === 'start')?.type, 'start');
  assert.equal(events.filter(({ type }) => type === 'warning').length, 0);
  const after = statSync(target, { bigint: true });
  assert.deepEqual([after.mtimeNs, after.ctimeNs], [before.mtimeNs, before.ctimeNs]);
});

test('names each differing range: changed, zeroed, missing and where the snapshot lists nothing', async (t) => {
  const { emulator, service } = await startService(t);
  const blocks = randomBlocks([0, 1, 2, 9, 10, 500, LAST], [5]);
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
  const target = join(scratch(t), 'disk.img');
  const changed = randomBlocks([1, 2, 5, 20, 21]);
  // One bit of one byte.
  const nearly = Buffer.from(blocks.get(LAST) as Buffer);
  nearly[BLOCK - 1]! ^= 1;
  const image = new Map([...blocks, ...changed, [LAST, nearly], [9, Buffer.alloc(BLOCK)]]);
  image.delete(500);
  writeImage(target, image);
  const result = await verifySnapshot({ snapshotId, target, ...service });
  assert.equal(result.equal, false);
  assert.deepEqual(result.differences, [
    range(1, 3),
    range(5),
    range(9),
    range(20, 22),
    range(500),
    range(LAST),
  ]);
  assert.equal(result.differencesTotal, 6);
  assert.equal(result.differsUnlisted, true);
});

test('compares only what the snapshot lists, when asked to', async (t) => {
  const { emulator, service } = await startService(t);
  const blocks = randomBlocks([0, 7]);
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
  const target = join(scratch(t), 'disk.img');
  writeImage(target, new Map([...blocks, ...randomBlocks([1, LAST])]));
  const result = await verifySnapshot({ snapshotId, target, skipUnlisted: true, ...service });
  assert.deepEqual([result.equal, result.bytesCompared], [true, 2 * BLOCK]);
  const all = await verifySnapshot({ snapshotId, target, ...service });
  assert.deepEqual(all.differences, [range(1), range(LAST)]);
});

for (const source of ['a file', 'a stream'] as const)
  test(`a sample fetches and compares its part of the blocks of ${source}, evenly spread`, async (t) => {
    const { emulator, service } = await startService(t);
    const indexes = Array.from({ length: 400 }, (_, at) => at);
    const blocks = randomBlocks(indexes);
    const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
    const target = join(scratch(t), 'disk.img');
    // Differs everywhere in the first 200 blocks, and in one that is not listed.
    writeImage(target, new Map([...blocks, ...randomBlocks(indexes.slice(0, 200)), ...randomBlocks([1000])]));
    const result = await verifySnapshot({
      snapshotId,
      target: source === 'a file' ? target : inPieces(target),
      samplePercent: 5,
      ...service,
    });
    const sampled = emulator.requests('GetSnapshotBlock').map(({ blockIndex }) => blockIndex as number);
    assert.deepEqual(
      sampled.sort((a, b) => a - b),
      indexes.filter((index) => index % 20 === 0),
    );
    assert.deepEqual(
      result.differences,
      [...indexes.slice(0, 200).filter((index) => index % 20 === 0), 1000].map((index) => range(index)),
    );
    assert.equal(result.bytesCompared, Math.ceil((LAST + 1) / 20) * BLOCK);
    assert.deepEqual([result.bytesDone, result.bytesToMove], [result.bytesTotal, 20 * BLOCK]);
  });

test('the smallest sample has the first block', async (t) => {
  const { emulator, service } = await startService(t);
  const blocks = randomBlocks([0, 1]);
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
  const target = join(scratch(t), 'disk.img');
  writeImage(target, blocks);
  const { bytesCompared } = await verifySnapshot({ snapshotId, target, samplePercent: 1e-6, ...service });
  assert.equal(bytesCompared, BLOCK);
  assert.equal(emulator.requests('GetSnapshotBlock').length, 1);
});

test('a percentage out of range is an error before any request', async (t) => {
  const { emulator, service } = await startService(t);
  for (const samplePercent of [0, -1, 101, Number.NaN])
    await assert.rejects(
      verifySnapshot({ snapshotId: 'snap-0a', target: 'none.img', samplePercent, ...service }),
      { code: 'BAD_SAMPLE', class: 'usage' },
    );
  assert.deepEqual(emulator.log, []);
});

test('an image larger than the volume is compared up to its end, with a warning', async (t) => {
  const { emulator, service } = await startService(t);
  const blocks = randomBlocks([0, LAST]);
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
  const target = join(scratch(t), 'disk.img');
  writeImage(target, new Map([...blocks, ...randomBlocks([LAST + 1])]), GIB + BLOCK + 77);
  for (const image of [target, () => inPieces(target)]) {
    const { events, onEvent } = recorder();
    const opened = typeof image === 'string' ? image : image();
    const { equal } = await verifySnapshot({ snapshotId, target: opened, ...service, onEvent });
    assert.equal(equal, true);
    const warning = events.find(({ type }) => type === 'warning');
    assert.match(JSON.stringify(warning), /LARGER_THAN_VOLUME.*only its first 1073741824 bytes/);
  }
});

test('an image smaller than the volume is refused before a block is fetched, naming both sizes', async (t) => {
  const { emulator, service } = await startService(t);
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: randomBlocks([0]) });
  const target = join(scratch(t), 'disk.img');
  for (const bytes of [0, GIB - 1]) {
    writeImage(target, new Map(), bytes);
    await assert.rejects(verifySnapshot({ snapshotId, target, ...service }), {
      code: 'IMAGE_TOO_SHORT',
      class: 'integrity',
      message: `${target} has ${bytes} bytes, the snapshot's volume ${GIB}`,
    });
  }
  assert.equal(emulator.requests('GetSnapshotBlock').length, 0);
});

test('a stream that ends early is too short, once it has ended', async (t) => {
  const { emulator, service } = await startService(t);
  const blocks = randomBlocks([0, 1]);
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
  const chunks = [blocks.get(0) as Buffer, blocks.get(1) as Buffer, Buffer.alloc(100)];
  for (const parts of [chunks, []])
    await assert.rejects(
      verifySnapshot({ snapshotId, target: Readable.from(parts, { objectMode: false }), ...service }),
      { code: 'IMAGE_TOO_SHORT', message: new RegExp(`has ${parts.length && 2 * BLOCK + 100} bytes`) },
    );
});

test('no block is fetched again because a stream ended early', async (t) => {
  const { emulator, service } = await startService(t);
  const blocks = randomBlocks([0, 1, 2]);
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
  const target = Readable.from([blocks.get(0) as Buffer], { objectMode: false });
  const { events, onEvent } = recorder();
  await assert.rejects(verifySnapshot({ snapshotId, target, ...service, workers: 1, onEvent }), {
    code: 'IMAGE_TOO_SHORT',
  });
  assert.deepEqual(
    events.filter(({ type }) => type === 'retry'),
    [],
  );
  const fetched = emulator.requests('GetSnapshotBlock').map(({ blockIndex }) => blockIndex);
  assert.equal(new Set(fetched).size, fetched.length);
});

test('a stream from another program is compared while it arrives, whatever must be fetched again', async (t) => {
  const { emulator, service } = await startService(t, { pageSize: 5 });
  const blocks = randomBlocks([0, 1, 2, 3, 30, 31, LAST], [4]);
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
  emulator.setFaults([
    {
      operation: 'GetSnapshotBlock',
      block: [0, 2, 31],
      first: 2,
      perBlock: true,
      action: { type: 'flip-bit' },
    },
  ]);
  const target = join(scratch(t), 'disk.img');
  writeImage(target, new Map([...blocks, ...randomBlocks([3, 600])]));
  const { stdout } = spawn('cat', [target], { stdio: ['ignore', 'pipe', 'inherit'] });
  const result = await verifySnapshot({ snapshotId, target: stdout, workers: 3, ...service });
  assert.deepEqual(result.differences, [range(3), range(600)]);
  assert.equal(result.retries, 6);
});

test('fails when the file is written meanwhile', async (t) => {
  const { emulator, service } = await startService(t);
  const blocks = randomBlocks([0, 1, 2]);
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
  const target = join(scratch(t), 'disk.img');
  writeImage(target, blocks);
  const written = emulator
    .waitForRequest(({ operation }) => operation === 'GetSnapshotBlock')
    .then(() => writeImage(target, randomBlocks([0])));
  await assert.rejects(verifySnapshot({ snapshotId, target, workers: 1, ...service }), {
    code: 'SOURCE_CHANGED',
  });
  await written;
});

test('stops when it is aborted, also while a stream stands still', async (t) => {
  const { emulator, service } = await startService(t);
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: randomBlocks([0, 1, 2]) });
  const controller = new AbortController();
  void emulator
    .waitForRequest(({ operation }) => operation === 'GetSnapshotBlock')
    .then(() => controller.abort());
  const { signal } = controller;
  const target = new Readable({ read() {} });
  await assert.rejects(verifySnapshot({ snapshotId, target, signal, ...service }), { class: 'aborted' });
});

test('a failing block ends the comparison of a stream', async (t) => {
  const { emulator, service } = await startService(t);
  const blocks = randomBlocks([0, 1, 2, 3]);
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
  emulator.setFaults([
    {
      operation: 'GetSnapshotBlock',
      block: 1,
      action: { type: 'error', status: 403, code: 'AccessDeniedException' },
    },
  ]);
  const target = join(scratch(t), 'disk.img');
  writeImage(target, blocks);
  await assert.rejects(verifySnapshot({ snapshotId, target: inPieces(target), ...service }), {
    code: 'ACCESS_DENIED',
  });
});

test(
  'compares a device, larger than the volume, also while it is mounted read-only',
  needsLoop,
  async (t) => {
    const { emulator, service } = await startService(t);
    const space = await Scratch.for(t);
    const { device, backing } = await space.loop({ bytes: GIB + 2 ** 20 });
    await run('mkfs.ext4', '-q', '-E', 'nodiscard', device);
    await run('sync', device);
    const copy = space.path('copy.img');
    await run('cp', '--sparse=always', backing, copy);
    await run('truncate', '--size', String(GIB), copy);
    const id = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: copy });
    await space.mount(device, ['-o', 'ro']);
    const { equal } = await verifySnapshot({ snapshotId: id, target: device, ...service });
    assert.equal(equal, true);
  },
);

test('refuses a device that is mounted read-write', needsLoop, async (t) => {
  const { emulator, service } = await startService(t);
  const space = await Scratch.for(t);
  const { device } = await space.loop({ bytes: GIB });
  await run('mkfs.ext4', '-q', device);
  const point = await space.mount(device);
  await assert.rejects(verifySnapshot({ snapshotId: 'snap-0a', target: device, ...service }), {
    code: 'TARGET_IN_USE',
    class: 'refused',
    message: `${device} may be written during the comparison: mounted at ${point} (ext4)`,
  });
  assert.deepEqual(emulator.log, []);
});

test('compares terabytes of holes without reading them, in flat memory', async (t) => {
  const volumeSizeGiB = 4096;
  const { emulator, service } = await startService(t);
  const last = (volumeSizeGiB * GIB) / BLOCK - 1;
  const blocks = randomBlocks([0, 1_000_000, last]);
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB, blocks });
  const target = join(scratch(t), 'disk.img');
  writeImage(target, blocks, volumeSizeGiB * GIB);
  writeImage(target, new Map([[2_000_000, Buffer.alloc(4096, 1)]]), volumeSizeGiB * GIB);
  let most = 0;
  const onEvent = () => {
    most = Math.max(most, process.memoryUsage().arrayBuffers);
  };
  const result = await verifySnapshot({ snapshotId, target, ...service, onEvent });
  assert.deepEqual(result.differences, [range(2_000_000)]);
  assert.equal(result.bytesCompared, volumeSizeGiB * GIB);
  assert.ok(most < 128 * 2 ** 20, `${most} bytes of buffers`);
});

test('compares a volume of small blocks that are data throughout', async (t) => {
  const { emulator, service } = await startService(t, { blockSize: 4096 });
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: new Map() });
  const target = join(scratch(t), 'disk.img');
  writeImage(target, new Map([[0, Buffer.alloc(32 * 2 ** 20)]]));
  const { equal } = await verifySnapshot({ snapshotId, target, ...service });
  assert.equal(equal, true);
});

test('counts any number of differences in memory that does not grow with them', () => {
  const differences = new Differences(BLOCK);
  const steps = 64;
  for (let at = 0; at < 1_000_000; at += steps) {
    for (let step = 0; step < steps; step++) differences.begin(at + step);
    // The steps of a batch end in any order.
    for (let step = steps - 1; step >= 0; step--) {
      if (step % 2 === 0) differences.add(at + step, at + step + 1);
      differences.done(at + step);
    }
  }
  differences.finish();
  assert.equal(differences.total, 500_000);
  assert.deepEqual(
    differences.first,
    Array.from({ length: 1_000 }, (_, at) => range(2 * at)),
  );
});

test('merges a range whose parts are found at different times', () => {
  const differences = new Differences(BLOCK);
  for (let round = 0; round < 3; round++) {
    for (let at = 0; at < 5_000; at++) {
      const block = round * 5_000 + at;
      differences.begin(block);
      differences.add(block, block + 1);
      differences.done(block);
    }
  }
  differences.finish();
  assert.deepEqual([differences.first, differences.total], [[range(0, 15_000)], 1]);
});
