import assert from 'node:assert/strict';
import {
  closeSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { test } from 'node:test';
import fc from 'fast-check';
import { downloadSnapshot, downloadToTargets } from '../../src/index.ts';
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

const LAST = GIB / BLOCK - 1;

test('writes the listed blocks and zeros elsewhere, with one request per listed block', async (t) => {
  const { emulator, service } = await startService(t);
  const blocks = randomBlocks([0, 1, 2, 100, 101, 1000, LAST], [3, 500]);
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
  const target = join(scratch(t), 'disk.img');
  const result = await downloadSnapshot({ snapshotId, target, ...service });
  assert.equal(await firstWrongBlock(target, blocks, GIB), undefined);
  assert.equal(statSync(target).size, GIB);
  assert.equal(emulator.requests('ListSnapshotBlocks').length, 1);
  assert.deepEqual(
    emulator
      .requests('GetSnapshotBlock')
      .map((request) => request.blockIndex)
      .sort((a, b) => Number(a) - Number(b)),
    [...blocks.keys()],
  );
  assert.equal(result.blocksTransferred, blocks.size);
  assert.equal(result.bytesDone, GIB);
  assert.equal(result.volumeSize, GIB);
});

test('leaves zero blocks and gaps as holes in a new file', async (t) => {
  const { emulator, service } = await startService(t);
  const snapshotId = await emulator.putSnapshot({
    volumeSizeGiB: 2,
    blocks: randomBlocks([5], [6, 7, 8, 9]),
  });
  const target = join(scratch(t), 'disk.img');
  await downloadSnapshot({ snapshotId, target, ...service });
  assert.ok(statSync(target).blocks * 512 <= 2 * BLOCK, `${statSync(target).blocks * 512} bytes allocated`);
});

test('restores any mix of listed, zero and missing blocks exactly, from short and empty pages', async (t) => {
  const blockSize = 65_536;
  const { emulator, service } = await startService(t, { blockSize, pageSize: 100, emptyPages: 1 });
  const directory = scratch(t);
  const index = fc.nat(GIB / blockSize - 1);
  let run = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.uniqueArray(index, { maxLength: 40 }),
      fc.array(index, { maxLength: 10 }),
      async (data, zeros) => {
        const blocks = randomBlocks(data, zeros, blockSize);
        const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
        const target = join(directory, `disk-${run++}.img`);
        await downloadSnapshot({ snapshotId, target, ...service });
        assert.equal(await firstWrongBlock(target, blocks, GIB, blockSize), undefined);
      },
    ),
    { numRuns: 8 },
  );
});

test('restores a snapshot without blocks as zeros', async (t) => {
  const { emulator, service } = await startService(t);
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: new Map() });
  const target = join(scratch(t), 'disk.img');
  await downloadSnapshot({ snapshotId, target, ...service });
  assert.equal(await firstWrongBlock(target, new Map(), GIB), undefined);
});

test("uses the service's block size, down to 512 bytes", async (t) => {
  const { emulator, service } = await startService(t, { blockSize: 512 });
  const blocks = randomBlocks([0, 1, 77, GIB / 512 - 1], [], 512);
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
  const target = join(scratch(t), 'disk.img');
  const result = await downloadSnapshot({ snapshotId, target, ...service });
  assert.equal(result.blockSize, 512);
  assert.equal(await firstWrongBlock(target, blocks, GIB, 512), undefined);
});

test('sends the whole image to a stream in order, zeros included', async (t) => {
  const { emulator, service } = await startService(t);
  const blocks = randomBlocks([0, 3, 4, 900, LAST], [5]);
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
  const target = join(scratch(t), 'piped.img');
  const { createWriteStream } = await import('node:fs');
  await downloadSnapshot({ snapshotId, target: createWriteStream(target), ...service });
  assert.equal(await firstWrongBlock(target, blocks, GIB), undefined);
});

test('slows down for a slow stream and loses nothing', async (t) => {
  const { emulator, service } = await startService(t);
  const blocks = randomBlocks(Array.from({ length: 40 }, (_, at) => at * 3));
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
  let received = 0;
  const slow = new Writable({
    highWaterMark: 1024,
    write(chunk: Buffer, _encoding, done) {
      received += chunk.length;
      setImmediate(done);
    },
  });
  await downloadSnapshot({ snapshotId, target: slow, workers: 8, ...service });
  assert.equal(received, GIB);
});

test('recovers from every transient fault with the right bytes', async (t) => {
  const { emulator, service } = await startService(t);
  const blocks = randomBlocks([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
  const get = 'GetSnapshotBlock';
  emulator.setFaults([
    {
      operation: 'ListSnapshotBlocks',
      first: 1,
      action: { type: 'error', status: 500, code: 'InternalServerException' },
    },
    {
      operation: get,
      block: 0,
      first: 2,
      action: {
        type: 'error',
        status: 400,
        code: 'RequestThrottledException',
        reason: 'RESOURCE_LEVEL_THROTTLE',
      },
    },
    { operation: get, block: 1, first: 1, action: { type: 'drop' } },
    { operation: get, block: 2, first: 1, action: { type: 'drop', at: 'body', bytes: 1000 } },
    { operation: get, block: 3, first: 1, action: { type: 'short-body' } },
    { operation: get, block: 4, first: 2, action: { type: 'flip-bit' } },
    { operation: get, block: 5, first: 1, action: { type: 'checksum' } },
    { operation: get, block: 6, first: 1, action: { type: 'checksum-algorithm' } },
    { operation: get, block: 7, first: 1, action: { type: 'data-length', value: 0 } },
    { operation: get, block: 8, first: 1, action: { type: 'data-length', value: -1 } },
    { operation: get, block: 9, first: 1, action: { type: 'data-length', value: BLOCK * 2 } },
    { operation: get, block: 10, first: 1, action: { type: 'chunked' } },
    { operation: get, block: 11, first: 1, action: { type: 'html' } },
    { operation: get, block: 12, first: 1, action: { type: 'close' } },
  ]);
  const target = join(scratch(t), 'disk.img');
  const { events, onEvent } = recorder();
  await downloadSnapshot({ snapshotId, target, onEvent, ...service });
  assert.equal(await firstWrongBlock(target, blocks, GIB), undefined);
  assert.ok(
    events.some((event) => event.type === 'retry' && event.code === 'CHECKSUM_MISMATCH' && event.block === 4),
  );
});

test('fails on a block that never matches its checksum, names it and creates no target', async (t) => {
  const { emulator, service } = await startService(t);
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: randomBlocks([0, 1, 2]) });
  emulator.setFaults([{ operation: 'GetSnapshotBlock', block: 1, action: { type: 'flip-bit' } }]);
  const directory = scratch(t);
  const target = join(directory, 'disk.img');
  await assert.rejects(downloadSnapshot({ snapshotId, target, checkpoint: false, ...service }), {
    class: 'integrity',
    block: 1,
    snapshotId,
  });
  assert.equal(emulator.requests('GetSnapshotBlock').filter((request) => request.blockIndex === 1).length, 8);
  assert.deepEqual(readdirSync(directory), []);
});

test('stops at once when the service refuses a block for good', async (t) => {
  const { emulator, service } = await startService(t);
  const snapshotId = await emulator.putSnapshot({
    volumeSizeGiB: 1,
    blocks: randomBlocks(Array.from({ length: 200 }, (_, at) => at)),
  });
  emulator.setFaults([
    {
      operation: 'GetSnapshotBlock',
      block: 5,
      action: { type: 'error', status: 403, code: 'AccessDeniedException', reason: 'UNAUTHORIZED_ACCOUNT' },
    },
  ]);
  const target = join(scratch(t), 'disk.img');
  await assert.rejects(
    downloadSnapshot({ snapshotId, target, workers: 4, ...service }),
    (error: Error & { hint?: string; class?: string }) => {
      assert.equal(error.class, 'config');
      assert.match(error.hint ?? '', /ebs:GetSnapshotBlock/);
      return true;
    },
  );
  assert.ok(emulator.requests('GetSnapshotBlock').length < 40);
  assert.ok(!existsSync(target));
});

for (const kind of ['file', 'device', 'several'] as const)
  test(
    `touches no ${kind === 'several' ? 'target' : kind} when blocks may be listed but not read`,
    needsLoop,
    async (t) => {
      const { emulator, service } = await startService(t);
      const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: randomBlocks([0, 1, 900]) });
      const action = { type: 'error', status: 403, code: 'AccessDeniedException' } as const;
      emulator.setFaults([{ operation: 'GetSnapshotBlock', action }]);
      const place = await Scratch.for(t);
      const { device, backing } = await place.loop({ bytes: GIB });
      const held = randomBlocks([0, LAST]);
      const image = openSync(backing, 'r+');
      for (const [index, data] of held) writeSync(image, data, 0, BLOCK, index * BLOCK);
      closeSync(image);
      process.env.STATE_DIRECTORY = scratch(t);
      const file = place.path('disk.img');
      writeFileSync(file, 'of the user');
      const before = readdirSync(place.directory);
      const options = { snapshotId, force: true, ...service };
      const download =
        kind === 'several'
          ? downloadToTargets({ ...options, targets: [file, device] })
          : downloadSnapshot({ ...options, target: kind === 'file' ? file : device });
      await assert.rejects(download, { class: 'config', code: 'ACCESS_DENIED' });
      assert.equal(emulator.requests('GetSnapshotBlock').length, 1);
      assert.equal(await firstWrongBlock(backing, held, GIB), undefined);
      assert.equal(readFileSync(file, 'utf8'), 'of the user');
      assert.deepEqual(readdirSync(place.directory), before);
      assert.deepEqual(readdirSync(process.env.STATE_DIRECTORY), []);
    },
  );

test('lists again from a block whose token has expired', async (t) => {
  let now = Date.now();
  const { emulator, service } = await startService(t, {
    now: () => now,
    blockTokenLifeMs: 3_600_000,
    pageSize: 100,
    // Also where the new listing begins.
    emptyPages: 1,
  });
  const blocks = randomBlocks(Array.from({ length: 8 }, (_, at) => at * 2));
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
  const target = join(scratch(t), 'disk.img');
  const running = downloadSnapshot({ snapshotId, target, workers: 1, ...service });
  await emulator.waitForRequest((request) => request.operation === 'GetSnapshotBlock', 3);
  now += 7_200_000;
  await running;
  assert.equal(await firstWrongBlock(target, blocks, GIB), undefined);
  const lists = emulator.requests('ListSnapshotBlocks');
  const renewals = lists.filter(({ path }) => /startingBlockIndex=/i.test(path));
  assert.equal(renewals.length, 1, 'one listing renews all tokens behind it');
});

test('rejects invalid arguments without a request and without touching the target', async (t) => {
  const { emulator, service } = await startService(t);
  const directory = scratch(t);
  const target = join(directory, 'disk.img');
  for (const workers of [0, -1, 1.5, Number.NaN, 5000]) {
    await assert.rejects(downloadSnapshot({ snapshotId: 'snap-1', target, workers, ...service }), {
      class: 'usage',
    });
  }
  for (const options of [
    { checkpointIntervalMs: 0 },
    { checkpointIntervalMs: Number.NaN },
    { checkpointIntervalMs: 2 ** 31 },
    { deadlines: { idleMs: 0 } },
    { deadlines: { connectMs: Number.POSITIVE_INFINITY } },
  ]) {
    await assert.rejects(downloadSnapshot({ snapshotId: 'snap-1', target, ...options, ...service }), {
      class: 'usage',
    });
  }
  for (const snapshotId of ['', 'vol-1', 'snap-', 'snap-../x', 'SNAP-1']) {
    await assert.rejects(downloadSnapshot({ snapshotId, target, ...service }), {
      class: 'usage',
      code: 'BAD_SNAPSHOT_ID',
    });
  }
  writeFileSync(target, 'precious');
  await assert.rejects(downloadSnapshot({ snapshotId: 'snap-1', target, ...service }), {
    class: 'refused',
    code: 'TARGET_EXISTS',
  });
  assert.equal(readFileSync(target, 'utf8'), 'precious');
  assert.deepEqual(readdirSync(directory), ['disk.img']);
  assert.equal(emulator.log.length, 0);
});

test('names an unknown or unfinished snapshot before touching the target', async (t) => {
  const { emulator, service } = await startService(t);
  const pending = await emulator.putSnapshot({
    volumeSizeGiB: 1,
    blocks: randomBlocks([0]),
    status: 'pending',
  });
  const directory = scratch(t);
  for (const snapshotId of ['snap-0123456789abcdef0', pending]) {
    await assert.rejects(
      downloadSnapshot({ snapshotId, target: join(directory, 'disk.img'), ...service }),
      (error: Error & { class?: string }) => {
        assert.equal(error.class, 'permanent');
        assert.match(error.message, new RegExp(snapshotId));
        return true;
      },
    );
  }
  assert.deepEqual(readdirSync(directory), []);
});

test('replaces an existing file with force, only once the new image is whole', async (t) => {
  const { emulator, service } = await startService(t);
  const blocks = randomBlocks([0, 9]);
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
  const target = join(scratch(t), 'disk.img');
  writeFileSync(target, 'old');
  emulator.setFaults([
    { operation: 'GetSnapshotBlock', action: { type: 'error', status: 403, code: 'AccessDeniedException' } },
  ]);
  await assert.rejects(downloadSnapshot({ snapshotId, target, force: true, ...service }));
  assert.equal(readFileSync(target, 'utf8'), 'old');
  emulator.setFaults([]);
  await downloadSnapshot({ snapshotId, target, force: true, ...service });
  assert.equal(await firstWrongBlock(target, blocks, GIB), undefined);
});

test('aborts with the reason, creates no target, and fetches only the rest in the next run', async (t) => {
  const { emulator, service } = await startService(t);
  const blocks = randomBlocks(Array.from({ length: 64 }, (_, at) => at));
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
  const directory = scratch(t);
  const target = join(directory, 'disk.img');
  const controller = new AbortController();
  const { signal } = controller;
  const { events, onEvent } = recorder();
  const running = downloadSnapshot({ snapshotId, target, workers: 2, signal, onEvent, ...service });
  running.catch(() => {});
  await emulator.waitForRequest(
    (request) => request.operation === 'GetSnapshotBlock' && request.blockIndex === 30,
  );
  controller.abort();
  await assert.rejects(running, { class: 'aborted' });
  assert.deepEqual(readdirSync(directory).sort(), ['disk.img.coldsnap-progress', 'disk.img.partial']);
  emulator.clearLog();
  const result = await downloadSnapshot({ snapshotId, target, ...service });
  assert.equal(await firstWrongBlock(target, blocks, GIB), undefined);
  assert.ok(result.bytesResumed >= 27 * BLOCK, `resumed ${result.bytesResumed / BLOCK}`);
  const reported = events.flatMap((event) => (event.type === 'progress' ? [event.bytesDone] : []));
  assert.equal(reported.at(-1), result.bytesResumed, 'the last event has every block');
  assert.ok(emulator.requests('GetSnapshotBlock').length <= 37);
  assert.deepEqual(readdirSync(directory), ['disk.img']);
});

test('finishes a run that was killed between renaming the image and removing the journal', async (t) => {
  const { emulator, service } = await startService(t);
  const blocks = randomBlocks([0, 1, 2]);
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
  const directory = scratch(t);
  const target = join(directory, 'disk.img');
  await downloadSnapshot({ snapshotId, target, keepCheckpoint: true, ...service });
  assert.deepEqual(readdirSync(directory).sort(), ['disk.img', 'disk.img.coldsnap-progress']);
  emulator.clearLog();
  const result = await downloadSnapshot({ snapshotId, target, ...service });
  assert.equal(result.bytesResumed, GIB);
  assert.equal(emulator.log.length, 0);
  assert.deepEqual(readdirSync(directory), ['disk.img']);
  await assert.rejects(downloadSnapshot({ snapshotId, target, ...service }), { code: 'TARGET_EXISTS' });
});

test('treats a finished image that was modified later as any other file, despite a journal', async (t) => {
  const { emulator, service } = await startService(t);
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: randomBlocks([0]) });
  const target = join(scratch(t), 'disk.img');
  await downloadSnapshot({ snapshotId, target, keepCheckpoint: true, ...service });
  writeFileSync(target, 'mine now');
  await assert.rejects(downloadSnapshot({ snapshotId, target, ...service }), { code: 'TARGET_EXISTS' });
});

test('with force it names what is overwritten', async (t) => {
  const { emulator, service } = await startService(t);
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: {} });
  const target = join(scratch(t), 'disk.img');
  const { events, onEvent } = recorder();
  const overwritten = () =>
    events.flatMap((event) =>
      event.type === 'warning' && event.code === 'OVERWRITING' ? [event.message] : [],
    );
  await downloadSnapshot({ ...service, snapshotId, target, force: true, onEvent });
  assert.deepEqual(overwritten(), []);
  await downloadSnapshot({ ...service, snapshotId, target, force: true, onEvent });
  assert.deepEqual(overwritten(), [`Overwriting the target: ${target} already exists.`]);
});

test('tells what is to be moved, and sums that add up', async (t) => {
  const { emulator, service } = await startService(t);
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: randomBlocks([0, 5, 9], [7]) });
  const { events, onEvent } = recorder();
  await downloadSnapshot({ ...service, snapshotId, target: join(scratch(t), 'disk.img'), onEvent });
  const commit = events.findIndex((event) => event.type === 'phase');
  const last = events[commit - 1];
  assert.ok(last?.type === 'progress', 'a last progress event before the phase');
  assert.deepEqual(
    [last.bytesToMove, last.bytesToMoveKnown, last.bytesTransferred],
    [4 * BLOCK, true, 4 * BLOCK],
  );
  assert.equal(last.bytesDone, last.bytesTransferred + last.bytesSkipped + last.bytesResumed);
  assert.equal(last.bytesDone, last.bytesTotal);
  assert.equal(last.bytesZero - last.bytesSkipped, BLOCK, 'a block of zeros was received');
});
