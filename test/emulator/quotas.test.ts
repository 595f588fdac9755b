import assert from 'node:assert/strict';
import { test } from 'node:test';
import { complete, get, list, put, randomBlock, refusal, run, start, testClock } from './client.ts';

const data = randomBlock();

test('block requests are throttled per snapshot and per account', async (t) => {
  const clock = testClock();
  const { emulator, ebs } = await run(t, { now: clock.now, quotas: { getPerSecond: 2, putPerSecond: 2 } });
  const bySnapshot = refusal('RequestThrottledException', 'RESOURCE_LEVEL_THROTTLE', 400);
  const byAccount = refusal('ThrottlingException', undefined, 400);
  const ids = await Promise.all(
    [1, 2].map(() => emulator.putSnapshot({ volumeSizeGiB: 1, blocks: { 0: data } })),
  );
  const tokens = await Promise.all(ids.map((id) => list(ebs, id)));
  const read = (n: number) => get(ebs, ids[n]!, 0, tokens[n]!.get(0)!);
  await read(0);
  await read(0);
  await assert.rejects(read(0), bySnapshot);
  await assert.rejects(read(1), byAccount);
  clock.move(500);
  await read(0);
  await assert.rejects(read(0), bySnapshot);
  const pending = await start(ebs);
  await put(ebs, pending, 0, data);
  await put(ebs, pending, 1, data);
  await assert.rejects(put(ebs, pending, 2, data), bySnapshot);
  assert.deepEqual(emulator.snapshot(pending)?.writtenBlocks, [0, 1]);
});

test('lists, starts and completions have separate quotas', async (t) => {
  const clock = testClock();
  const { emulator, ebs } = await run(t, { now: clock.now, quotas: { listPerSecond: 1, startPerSecond: 1 } });
  const id = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: {} });
  await list(ebs, id);
  await assert.rejects(list(ebs, id), refusal('RequestThrottledException', 'ACCOUNT_THROTTLED', 400));
  const pending = await start(ebs);
  await assert.rejects(start(ebs), refusal('ConcurrentLimitExceededException', undefined, 400));
  await complete(ebs, pending, 0);
  await assert.rejects(complete(ebs, pending, 0), refusal('ThrottlingException', undefined, 400));
  clock.move(1000);
  await list(ebs, id);
  await start(ebs);
});

test('a start beyond the quota of pending snapshots fails with ServiceQuotaExceededException and creates nothing', async (t) => {
  const { emulator, ebs, ec2: _ } = await run(t, { quotas: { maxPending: 2 } });
  const first = await start(ebs, { ClientToken: 'first' });
  await start(ebs);
  await assert.rejects(start(ebs), refusal('ServiceQuotaExceededException', undefined, 402));
  assert.equal(await start(ebs, { ClientToken: 'first' }), first);
  emulator.deleteSnapshot(first);
  await start(ebs);
});

test('without quotas nothing is throttled', async (t) => {
  const { ebs } = await run(t);
  const id = await start(ebs);
  await Promise.all(Array.from({ length: 300 }, (_, n) => put(ebs, id, n, data)));
});
