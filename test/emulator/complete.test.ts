import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { DescribeSnapshotsCommand } from '@aws-sdk/client-ec2';
import {
  complete,
  linearChecksum,
  list,
  put,
  randomBlock,
  refusal,
  run,
  settled,
  sha256,
  start,
  testClock,
} from './client.ts';
import { errorOf, raw } from './raw.ts';

const blocks = new Map([3, 1, 2].map((index) => [index, randomBlock()]));

test('the LINEAR checksum is over the raw digests in ascending order of index', async (t) => {
  const { emulator, ebs } = await run(t);
  const checksumOf = (indexes: number[], encoding?: 'base64') => {
    const hash = createHash('sha256');
    for (const index of indexes) {
      const digest = sha256(blocks.get(index)!);
      hash.update(encoding === undefined ? digest : digest.toString(encoding));
    }
    return hash.digest('base64');
  };
  const cases: [string, string][] = [
    [checksumOf([1, 2, 3]), 'completed'],
    [checksumOf([3, 1, 2]), 'error'],
    [checksumOf([1, 2, 3], 'base64'), 'error'],
    [checksumOf([1, 2]), 'error'],
  ];
  for (const [checksum, status] of cases) {
    const id = await start(ebs);
    for (const [index, data] of blocks) await put(ebs, id, index, data);
    await complete(ebs, id, 3, checksum);
    assert.equal(await settled(emulator, id), status);
  }
});

test('a wrong count puts the snapshot into the state error instead of failing the call', async (t) => {
  const { emulator, ebs, ec2 } = await run(t);
  for (const count of [0, 2, 4]) {
    const id = await start(ebs);
    for (const [index, data] of blocks) await put(ebs, id, index, data);
    await complete(ebs, id, count);
    assert.equal(await settled(emulator, id), 'error');
    const described = await ec2.send(new DescribeSnapshotsCommand({ SnapshotIds: [id] }));
    assert.deepEqual(
      described.Snapshots?.map(({ State }) => State),
      ['error'],
    );
    assert.match(described.Snapshots?.[0]?.StateMessage ?? '', /ChangedBlocksCount/);
    await assert.rejects(list(ebs, id), refusal('ValidationException', 'INVALID_SNAPSHOT_ID'));
  }
});

test('the snapshot stays pending for the delay, shows its progress, and cannot be completed again', async (t) => {
  const clock = testClock();
  const { emulator, ebs, ec2 } = await run(t, { now: clock.now, completionDelayMs: 10_000 });
  const id = await start(ebs);
  const states = async () => {
    const { Snapshots } = await ec2.send(new DescribeSnapshotsCommand({ SnapshotIds: [id] }));
    return Snapshots?.map(({ State, Progress }) => [State, Progress])[0];
  };
  assert.deepEqual(await states(), ['pending', '0%']);
  await complete(ebs, id, 0);
  clock.move(5000);
  assert.deepEqual(await states(), ['pending', '50%']);
  const again = refusal('ValidationException', 'INVALID_SNAPSHOT_ID');
  await assert.rejects(complete(ebs, id, 0), again);
  await assert.rejects(list(ebs, id), again);
  clock.move(5000);
  assert.deepEqual(await states(), ['completed', '100%']);
  await assert.rejects(complete(ebs, id, 0), again);
  assert.equal(emulator.snapshot(id)?.status, 'completed');
});

test('lists do not find a snapshot within notVisibleMs of its completion', async (t) => {
  const clock = testClock();
  const { ebs } = await run(t, { now: clock.now, completionDelayMs: 1000, notVisibleMs: 500 });
  const id = await start(ebs);
  clock.move(500);
  await complete(ebs, id, 0);
  clock.move(1400);
  await assert.rejects(list(ebs, id), refusal('ResourceNotFoundException', 'SNAPSHOT_NOT_FOUND', 404));
  clock.move(100);
  assert.equal((await list(ebs, id)).size, 0);
});

test('a snapshot that gets no block, or no completion, within its timeout is cancelled', async (t) => {
  const clock = testClock();
  const { emulator, ebs } = await run(t, { now: clock.now });
  const id = await start(ebs, { Timeout: 10 });
  clock.move(599_999);
  await put(ebs, id, 0, randomBlock());
  clock.move(599_999);
  assert.equal(emulator.snapshot(id)?.status, 'pending');
  clock.move(1);
  assert.equal(emulator.snapshot(id)?.status, 'error');
  await assert.rejects(put(ebs, id, 1, randomBlock()), refusal('ValidationException', 'INVALID_SNAPSHOT_ID'));
  await assert.rejects(complete(ebs, id, 1), refusal('ValidationException', 'INVALID_SNAPSHOT_ID'));
});

test('the timeout defaults to 60 minutes and can be overridden for tests', async (t) => {
  const clock = testClock();
  const { emulator, ebs } = await run(t, { now: clock.now });
  const id = await start(ebs);
  clock.move(3_599_999);
  assert.equal(emulator.snapshot(id)?.status, 'pending');
  clock.move(1);
  assert.equal(emulator.snapshot(id)?.status, 'error');
  const quick = await run(t, { now: clock.now, pendingTimeoutMs: 50 });
  const other = await start(quick.ebs, { Timeout: 4320 });
  clock.move(50);
  assert.equal(quick.emulator.snapshot(other)?.status, 'error');
});

test('a completion while blocks are being written is rejected or counts them', async (t) => {
  const { emulator, ebs } = await run(t, { blockSize: 2 ** 20 });
  const data = randomBlock(2 ** 20);
  for (let round = 0; round < 5; round++) {
    const id = await start(ebs);
    const puts = Array.from({ length: 10 }, (_, block) => put(ebs, id, block, data));
    await emulator.waitForRequest((record) => record.snapshotId === id && record.status === 201);
    const reply = await complete(ebs, id, 10).catch((error: unknown) => error);
    const written = (await Promise.allSettled(puts)).filter(({ status }) => status === 'fulfilled').length;
    if (reply instanceof Error) refusal('ValidationException', 'CONFLICTING_BLOCK_UPDATE')(reply);
    else assert.equal(await settled(emulator, id), written === 10 ? 'completed' : 'error');
    assert.equal(emulator.snapshot(id)?.writtenBlocks.length, written);
  }
});

test('malformed completions are rejected and do not change the snapshot', async (t) => {
  const { emulator, ebs } = await run(t);
  const id = await start(ebs);
  const checksum = linearChecksum(new Map());
  const all = {
    'x-amz-ChangedBlocksCount': '0',
    'x-amz-Checksum': checksum,
    'x-amz-Checksum-Algorithm': 'SHA256',
    'x-amz-Checksum-Aggregation-Method': 'LINEAR',
  };
  const cases: Record<string, string>[] = [
    {},
    { 'x-amz-ChangedBlocksCount': '-1' },
    { 'x-amz-ChangedBlocksCount': 'x' },
    { 'x-amz-ChangedBlocksCount': '0', 'x-amz-Checksum': checksum },
    { 'x-amz-ChangedBlocksCount': '0', 'x-amz-Checksum-Aggregation-Method': 'LINEAR' },
    { ...all, 'x-amz-Checksum': 'short' },
    { ...all, 'x-amz-Checksum-Algorithm': 'MD5' },
    { ...all, 'x-amz-Checksum-Aggregation-Method': 'TREE' },
  ];
  for (const headers of cases) {
    const reply = await raw(emulator.url, { method: 'POST', path: `/snapshots/completion/${id}`, headers });
    assert.deepEqual(
      errorOf(reply),
      [400, 'ValidationException', 'INVALID_PARAMETER_VALUE'],
      JSON.stringify(headers),
    );
  }
  const good = await raw(emulator.url, { method: 'POST', path: `/snapshots/completion/${id}`, headers: all });
  assert.deepEqual([good.status, good.body.toString()], [202, '{"Status":"pending"}']);
  assert.equal(await settled(emulator, id), 'completed');
});
