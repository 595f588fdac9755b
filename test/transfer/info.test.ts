import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { runInNewContext } from 'node:vm';
import { type ByteRange, snapshotInfo } from '../../src/index.ts';
import { BLOCK, GIB, randomBlocks, recorder, startService } from '../support/service.ts';

test('tells size, blocks, ranges, cost and what EC2 says', async (t) => {
  const { emulator, service } = await startService(t);
  const snapshotId = await emulator.putSnapshot({
    volumeSizeGiB: 2,
    blocks: randomBlocks([0, 1, 2, 100, 4095]),
    description: 'disk.img',
    tags: { Name: 'web' },
    encrypted: true,
  });
  const { startTime, ...info } = await snapshotInfo({ ...service, snapshotId });
  assert.ok(startTime instanceof Date);
  assert.deepEqual(info, {
    snapshotId,
    volumeSize: 2 * GIB,
    blockSize: BLOCK,
    blocks: 5,
    bytes: 5 * BLOCK,
    ranges: 3,
    cost: { requests: 6, dollars: 0.0000156, seconds: 0.005 },
    state: 'completed',
    encrypted: true,
    description: 'disk.img',
    tags: { Name: 'web' },
  });
  const operations = emulator.log.map(({ operation }) => operation);
  assert.deepEqual(operations.sort(), ['DescribeSnapshots', 'ListSnapshotBlocks']);
});

test('reports contiguous ranges in bytes, across pages and empty pages', async (t) => {
  const { emulator, service } = await startService(t, { pageSize: 100, emptyPages: true });
  const indexes = Array.from({ length: 300 }, (_, index) => index + 7);
  const data = Buffer.alloc(BLOCK, 1);
  const blocks = new Map([...indexes, 1000, 2047].map((index) => [index, data]));
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
  const ranges: ByteRange[] = [];
  const { blocks: count } = await snapshotInfo({
    ...service,
    snapshotId,
    onRange: async (range) => void ranges.push(range),
  });
  assert.equal(count, 302);
  assert.deepEqual(ranges, [
    { start: 7 * BLOCK, end: 307 * BLOCK },
    { start: 1000 * BLOCK, end: 1001 * BLOCK },
    { start: GIB - BLOCK, end: GIB },
  ]);
});

test('a snapshot without blocks has no ranges and costs one list request', async (t) => {
  const { emulator, service } = await startService(t);
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: {} });
  const info = await snapshotInfo({ ...service, snapshotId, mapCells: 4, readLayout: true });
  assert.deepEqual([info.blocks, info.bytes, info.ranges], [0, 0, 0]);
  assert.deepEqual(info.cost, { requests: 1, dollars: 0.0000006, seconds: 0 });
  assert.deepEqual(info.map, [0, 0, 0, 0]);
  assert.deepEqual(info.layout, { partitions: [] });
  assert.deepEqual(emulator.requests('GetSnapshotBlock'), []);
});

test('numbers are exact at 64 TiB', async (t) => {
  const { emulator, service } = await startService(t);
  const last = (65_536 * GIB) / BLOCK - 1;
  const snapshotId = await emulator.putSnapshot({
    volumeSizeGiB: 65_536,
    blocks: randomBlocks([0, last]),
  });
  const ranges: ByteRange[] = [];
  const info = await snapshotInfo({
    ...service,
    snapshotId,
    mapCells: 78,
    onRange: (range) => void ranges.push(range),
  });
  assert.equal(info.volumeSize, 70_368_744_177_664);
  assert.deepEqual(ranges[1], { start: 70_368_744_177_664 - BLOCK, end: 70_368_744_177_664 });
  assert.equal(info.map?.length, 78);
  assert.ok(info.map[0]! > 0 && info.map[77]! > 0);
  assert.ok(info.map.slice(1, 77).every((share) => share === 0));
});

test('the map has the share of each part, and never more parts than blocks', async (t) => {
  const { emulator, service } = await startService(t);
  const half = Array.from({ length: 1024 }, (_, index) => index);
  const data = Buffer.alloc(BLOCK, 1);
  const blocks = new Map([...half, 1536].map((index) => [index, data]));
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
  const map = async (mapCells: number) => (await snapshotInfo({ ...service, snapshotId, mapCells })).map;
  assert.deepEqual(await map(4), [1, 1, 0, 1 / 512]);
  assert.deepEqual(await map(1), [1025 / 2048]);
  assert.equal((await map(5000))?.length, 2048);
  const uneven = (await map(3)) ?? [];
  const sizes = [683, 683, 682];
  assert.equal(
    uneven.reduce((sum, share, cell) => sum + share * sizes[cell]!, 0),
    1025,
  );
  await assert.rejects(map(0), { class: 'usage', code: 'BAD_MAP_CELLS' });
});

test('a denied DescribeSnapshots is a warning, not a failure', async (t) => {
  const { emulator, service } = await startService(t);
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: randomBlocks([3]) });
  emulator.setFaults([
    {
      operation: 'DescribeSnapshots',
      action: { type: 'error', status: 403, code: 'UnauthorizedOperation', message: 'no' },
    },
  ]);
  const { events, onEvent } = recorder();
  const info = await snapshotInfo({ ...service, snapshotId, onEvent });
  assert.equal(info.blocks, 1);
  assert.equal(info.state, undefined);
  const warnings = events.filter(({ type }) => type === 'warning');
  assert.deepEqual(
    warnings.map((event) => 'code' in event && event.code),
    ['NOT_DESCRIBED'],
  );
});

test('EC2 is asked for no longer than the retry time', async (t) => {
  const { emulator, service } = await startService(t);
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: randomBlocks([3]) });
  const action = { type: 'error', status: 500, code: 'InternalError' } as const;
  emulator.setFaults([{ operation: 'DescribeSnapshots', action }]);
  const { events, onEvent } = recorder();
  const { blocks, state } = await snapshotInfo({ ...service, snapshotId, retryForMs: 1, onEvent });
  assert.deepEqual([blocks, state], [1, undefined]);
  assert.equal(events.filter(({ type }) => type === 'warning').length, 1);
  assert.ok(emulator.requests('DescribeSnapshots').length <= 3);
});

test('a denied GetSnapshotBlock is a warning, not a failure', async (t) => {
  const { emulator, service } = await startService(t);
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: randomBlocks([0]) });
  emulator.setFaults([
    {
      operation: 'GetSnapshotBlock',
      action: { type: 'error', status: 403, code: 'AccessDeniedException', message: 'no' },
    },
  ]);
  const { events, onEvent } = recorder();
  const info = await snapshotInfo({ ...service, snapshotId, readLayout: true, onEvent });
  assert.equal(info.layout, undefined);
  assert.ok(events.some((event) => event.type === 'warning' && event.code === 'LAYOUT_NOT_READ'));
});

test('retries a list that fails for a while, and stops with the caller', async (t) => {
  const { emulator, service } = await startService(t);
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: randomBlocks([3]) });
  emulator.setFaults([{ operation: 'ListSnapshotBlocks', first: 2, action: { type: 'drop' } }]);
  assert.equal((await snapshotInfo({ ...service, snapshotId })).blocks, 1);
  const signal = AbortSignal.abort();
  await assert.rejects(snapshotInfo({ ...service, snapshotId, signal }), { class: 'aborted' });
});

test('an onRange that never returns does not outlast an abort or a failed listener', async (t) => {
  const { emulator, service } = await startService(t);
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: randomBlocks([3]) });
  const controller = new AbortController();
  const { signal } = controller;
  const onRange = () => {
    controller.abort();
    return new Promise<void>(() => {});
  };
  await assert.rejects(snapshotInfo({ ...service, snapshotId, signal, onRange }), { class: 'aborted' });
  const failure = new Error('the display is gone');
  const onEvent = async () => {
    await setImmediate();
    throw failure;
  };
  await assert.rejects(snapshotInfo({ ...service, snapshotId, onEvent, onRange }), failure);
});

test('a listener of another realm that rejects ends the call with its error', async (t) => {
  const { emulator, service } = await startService(t);
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: randomBlocks([3]) });
  const onEvent = runInNewContext('async () => { throw new Error("the display is gone"); }');
  await assert.rejects(snapshotInfo({ ...service, snapshotId, onEvent }), /the display is gone/);
});

test('a snapshot that does not exist, or a malformed ID, is an error', async (t) => {
  const { emulator, service } = await startService(t);
  await assert.rejects(snapshotInfo({ ...service, snapshotId: 'snap-0123456789abcdef0' }), {
    code: 'SNAPSHOT_NOT_FOUND',
  });
  assert.deepEqual(
    emulator.log.map(({ operation }) => operation),
    ['ListSnapshotBlocks'],
  );
  await assert.rejects(snapshotInfo({ ...service, snapshotId: 'vol-1' }), { code: 'BAD_SNAPSHOT_ID' });
});
