import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PutSnapshotBlockCommand } from '@aws-sdk/client-ebs';
import {
  complete,
  download,
  put,
  randomBlock,
  refusal,
  run,
  SMALL,
  settled,
  sha256,
  start,
  testClock,
} from './client.ts';
import { headerOf, raw } from './raw.ts';

const data = randomBlock();
const digest = sha256(data).toString('base64');
const good = {
  'x-amz-Data-Length': String(SMALL),
  'x-amz-Checksum': digest,
  'x-amz-Checksum-Algorithm': 'SHA256',
};

test('a put returns 201 with an empty object and the checksum of the stored data', async (t) => {
  const { emulator, ebs } = await run(t);
  const id = await start(ebs);
  const reply = await raw(emulator.url, {
    method: 'PUT',
    path: `/snapshots/${id}/blocks/3`,
    headers: { ...good, 'x-amz-Progress': '50' },
    body: data,
  });
  assert.equal(reply.status, 201);
  assert.equal(reply.body.toString(), '{}');
  assert.equal(headerOf(reply, 'x-amz-Checksum'), digest);
  assert.equal(headerOf(reply, 'x-amz-Checksum-Algorithm'), 'SHA256');
  assert.match(headerOf(reply, 'x-amzn-RequestId')!, /^[0-9a-f-]{36}$/);
  assert.deepEqual(emulator.snapshot(id)?.writtenBlocks, [3]);
});

test('a repeated put overwrites the block, which counts once', async (t) => {
  const { emulator, ebs } = await run(t);
  const id = await start(ebs);
  for (const body of [randomBlock(), Buffer.alloc(SMALL), data]) await put(ebs, id, 7, body);
  await complete(ebs, id, 1, sha256(sha256(data)).toString('base64'));
  assert.equal(await settled(emulator, id), 'completed');
  assert.deepEqual([...(await download(ebs, id))], [[7, data]]);
});

test('a block of zeros is listed and read like any other, also after it had data', async (t) => {
  const { emulator, ebs } = await run(t);
  const id = await start(ebs);
  const zeros = Buffer.alloc(SMALL);
  await put(ebs, id, 0, zeros);
  await put(ebs, id, 1, data);
  await put(ebs, id, 1, zeros);
  await complete(ebs, id, 2);
  await settled(emulator, id);
  assert.deepEqual(
    [...(await download(ebs, id))],
    [
      [0, zeros],
      [1, zeros],
    ],
  );
});

test('concurrent puts are all stored', async (t) => {
  const { emulator, ebs } = await run(t);
  const id = await start(ebs);
  const blocks = new Map(Array.from({ length: 200 }, (_, n) => [n * 3, randomBlock()]));
  await Promise.all([...blocks].map(([block, body]) => put(ebs, id, block, body)));
  await complete(ebs, id, 200);
  await settled(emulator, id);
  assert.deepEqual(await download(ebs, id), blocks);
});

test('concurrent puts of one block may fail with CONFLICTING_BLOCK_UPDATE', async (t) => {
  const { ebs } = await run(t, { blockSize: 2 ** 20 });
  const id = await start(ebs);
  const body = randomBlock(2 ** 20);
  const results = await Promise.allSettled(Array.from({ length: 20 }, () => put(ebs, id, 0, body)));
  const failures = results.filter((result) => result.status === 'rejected');
  for (const { reason } of failures) refusal('ValidationException', 'CONFLICTING_BLOCK_UPDATE')(reason);
  assert.ok(failures.length < results.length);
});

test('puts are rejected unless the snapshot is pending', async (t) => {
  const { emulator, ebs } = await run(t, { completionDelayMs: 3_600_000 });
  const state = refusal('ValidationException', 'INVALID_SNAPSHOT_ID');
  for (const status of ['completed', 'error'] as const) {
    const id = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: {}, status });
    await assert.rejects(put(ebs, id, 0, data), state);
  }
  const completing = await start(ebs);
  await complete(ebs, completing, 0);
  await assert.rejects(put(ebs, completing, 0, data), state);
  await assert.rejects(
    put(ebs, 'snap-0', 0, data),
    refusal('ResourceNotFoundException', 'SNAPSHOT_NOT_FOUND', 404),
  );
  await assert.rejects(put(ebs, 'snapshot', 0, data), refusal('ValidationException', 'INVALID_SNAPSHOT_ID'));
});

test('puts do not find the snapshot within notVisibleMs of its start', async (t) => {
  const clock = testClock();
  const { ebs } = await run(t, { now: clock.now, notVisibleMs: 1000 });
  const id = await start(ebs);
  await assert.rejects(
    put(ebs, id, 0, data),
    refusal('ResourceNotFoundException', 'SNAPSHOT_NOT_FOUND', 404),
  );
  clock.move(1000);
  await put(ebs, id, 0, data);
});

test("the SDK puts a block of the service's block size and gets its checksum", async (t) => {
  const { ebs } = await run(t, { blockSize: 524_288 });
  const id = await start(ebs);
  const body = randomBlock(524_288);
  const Checksum = sha256(body).toString('base64');
  const reply = await ebs.send(
    new PutSnapshotBlockCommand({
      SnapshotId: id,
      BlockIndex: 0,
      BlockData: body,
      DataLength: body.length,
      Checksum,
      ChecksumAlgorithm: 'SHA256',
      Progress: 100,
    }),
  );
  assert.deepEqual([reply.Checksum, reply.ChecksumAlgorithm], [Checksum, 'SHA256']);
});
