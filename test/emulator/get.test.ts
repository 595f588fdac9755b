import assert from 'node:assert/strict';
import { test } from 'node:test';
import { GetSnapshotBlockCommand } from '@aws-sdk/client-ebs';
import { get, list, randomBlock, refusal, run, SMALL, sha256, testClock } from './client.ts';
import { errorOf, headerOf, raw } from './raw.ts';

const data = randomBlock();
const blocks = { 4: data, 5: data };

test("a block has headers for its length, its checksum and the checksum's algorithm", async (t) => {
  const { emulator, ebs } = await run(t);
  const id = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
  const token = (await list(ebs, id)).get(4)!;
  const path = `/snapshots/${id}/blocks/4?blockToken=${encodeURIComponent(token)}`;
  const reply = await raw(emulator.url, { path });
  assert.equal(reply.status, 200);
  const names = ['x-amz-Data-Length', 'x-amz-Checksum', 'x-amz-Checksum-Algorithm', 'Content-Length'];
  const checksum = sha256(data).toString('base64');
  assert.deepEqual(
    names.map((name) => headerOf(reply, name)),
    [String(SMALL), checksum, 'SHA256', String(SMALL)],
  );
  assert.ok(headerOf(reply, 'x-amzn-RequestId'));
  assert.deepEqual(reply.body, data);
  const typed = await ebs.send(
    new GetSnapshotBlockCommand({ SnapshotId: id, BlockIndex: 4, BlockToken: token }),
  );
  assert.deepEqual([typed.DataLength, typed.Checksum, typed.ChecksumAlgorithm], [SMALL, checksum, 'SHA256']);
  await typed.BlockData!.transformToByteArray();
});

test('a token is valid only for its block and snapshot, until it expires', async (t) => {
  const clock = testClock();
  const { emulator, ebs } = await run(t, { now: clock.now, blockTokenLifeMs: 1000 });
  const id = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
  const other = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
  const token = (await list(ebs, id)).get(4)!;
  const invalid = refusal('ValidationException', 'INVALID_BLOCK_TOKEN', 400);
  await assert.rejects(get(ebs, id, 5, token), invalid);
  await assert.rejects(get(ebs, other, 4, token), invalid);
  await assert.rejects(get(ebs, id, 4, `${token.slice(0, 10)}AAAA${token.slice(14)}`), invalid);
  await assert.rejects(get(ebs, id, 4, 'AAAA'), invalid);
  await assert.rejects(get(ebs, id, 2 ** 30 / SMALL, token), refusal('ValidationException', 'INVALID_BLOCK'));
  await assert.rejects(get(ebs, 'snap-0', 4, token), refusal('ResourceNotFoundException'));
  const without = await raw(emulator.url, { path: `/snapshots/${id}/blocks/4` });
  assert.deepEqual(errorOf(without), [400, 'ValidationException', 'INVALID_BLOCK_TOKEN']);
  clock.move(999);
  assert.deepEqual(await get(ebs, id, 4, token), data);
  clock.move(1);
  await assert.rejects(get(ebs, id, 4, token), invalid);
});

test('a token that is not URL-encoded is rejected', async (t) => {
  const { emulator, ebs } = await run(t);
  const id = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: { 4: data } });
  let token = '';
  while (!token.includes('+')) token = (await list(ebs, id)).get(4)!;
  const reply = await raw(emulator.url, { path: `/snapshots/${id}/blocks/4?blockToken=${token}` });
  assert.deepEqual(errorOf(reply), [400, 'ValidationException', 'INVALID_BLOCK_TOKEN']);
});
