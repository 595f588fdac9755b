import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
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
import { connectTo, errorOf, headerOf, parseReply, raw, readToEnd, requestText } from './raw.ts';

const data = randomBlock();
const digest = sha256(data).toString('base64');
const good = {
  'x-amz-Data-Length': String(SMALL),
  'x-amz-Checksum': digest,
  'x-amz-Checksum-Algorithm': 'SHA256',
};

test('a put replies 201 with an empty object and the checksum of what it stored', async (t) => {
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

test('a put whose headers or data are not right stores nothing', async (t) => {
  const { emulator, ebs } = await run(t);
  const id = await start(ebs);
  const without = (name: keyof typeof good): Record<string, string> => {
    const { [name]: _, ...rest } = good;
    return rest;
  };
  const longer = Buffer.concat([data, Buffer.of(0)]);
  const cases: [string, Record<string, string>, Buffer, string?][] = [
    ['no length', without('x-amz-Data-Length'), data],
    ['no checksum', without('x-amz-Checksum'), data],
    ['no algorithm', without('x-amz-Checksum-Algorithm'), data],
    ['length 0', { ...good, 'x-amz-Data-Length': '0' }, Buffer.alloc(0)],
    ['negative length', { ...good, 'x-amz-Data-Length': `-${SMALL}` }, data],
    ['length in words', { ...good, 'x-amz-Data-Length': 'many' }, data],
    [
      'a short block',
      {
        ...good,
        'x-amz-Data-Length': '512',
        'x-amz-Checksum': sha256(data.subarray(0, 512)).toString('base64'),
      },
      data.subarray(0, 512),
    ],
    [
      'a long block',
      {
        ...good,
        'x-amz-Data-Length': String(longer.length),
        'x-amz-Checksum': sha256(longer).toString('base64'),
      },
      longer,
    ],
    [
      'less data than said',
      { ...good, 'x-amz-Checksum': sha256(data.subarray(1)).toString('base64') },
      data.subarray(1),
    ],
    ['other data', good, randomBlock()],
    ['a hex checksum', { ...good, 'x-amz-Checksum': sha256(data).toString('hex') }, data],
    ['another algorithm', { ...good, 'x-amz-Checksum-Algorithm': 'CRC32' }, data],
    ['progress 101', { ...good, 'x-amz-Progress': '101' }, data],
    ['an encoding', { ...good, 'Content-Encoding': 'aws-chunked' }, data, 'INVALID_CONTENT_ENCODING'],
  ];
  for (const [name, headers, body, reason] of cases) {
    const reply = await raw(emulator.url, {
      method: 'PUT',
      path: `/snapshots/${id}/blocks/0`,
      headers,
      body,
    });
    assert.deepEqual(errorOf(reply), [400, 'ValidationException', reason ?? 'INVALID_PARAMETER_VALUE'], name);
  }
  const chunked = await raw(emulator.url, {
    method: 'PUT',
    path: `/snapshots/${id}/blocks/0`,
    headers: { ...good, 'Transfer-Encoding': 'chunked' },
    body: Buffer.concat([Buffer.from(`${SMALL.toString(16)}\r\n`), data, Buffer.from('\r\n0\r\n\r\n')]),
    withoutLength: true,
  });
  assert.equal(chunked.status, 400);
  assert.deepEqual(emulator.snapshot(id)?.writtenBlocks, []);
});

test('data that end early are "Failed to read block data"', async (t) => {
  const { emulator, ebs } = await run(t);
  const id = await start(ebs);
  const reply = await raw(emulator.url, {
    method: 'PUT',
    path: `/snapshots/${id}/blocks/0`,
    headers: good,
    body: data.subarray(0, 100),
  });
  assert.equal(
    (JSON.parse(reply.body.toString()) as { Message: string }).Message,
    'Failed to read block data',
  );
});

test('a client that goes away in mid-body stores nothing and harms nobody', async (t) => {
  const { emulator, ebs } = await run(t);
  const id = await start(ebs);
  const socket = connectTo(emulator.url);
  const arrived = emulator.waitForRequest((record) => record.operation === 'PutSnapshotBlock');
  const text = requestText({ method: 'PUT', path: `/snapshots/${id}/blocks/0`, headers: good, body: data });
  socket.write(text.subarray(0, text.length - 10));
  await arrived;
  socket.destroy();
  await put(ebs, id, 1, data);
  assert.deepEqual(emulator.snapshot(id)?.writtenBlocks, [1]);
});

test('a body that is far too long is refused, and the connection goes on', async (t) => {
  const { emulator, ebs } = await run(t);
  const id = await start(ebs);
  const body = randomBytes(3 * 2 ** 20);
  const socket = connectTo(emulator.url);
  socket.write(requestText({ method: 'PUT', path: `/snapshots/${id}/blocks/0`, headers: good, body }));
  await emulator.waitForRequest((record) => record.status === 413);
  socket.write(requestText({ path: `/snapshots/${id}/blocks`, headers: { Connection: 'close' } }));
  const [bytes] = await readToEnd(socket);
  assert.equal(parseReply(bytes, 'end').status, 413);
  assert.deepEqual(
    emulator.log.map(({ status, connectionId }) => [status, connectionId]),
    [
      [201, 1],
      [413, 2],
      [400, 2],
    ],
  );
});

test('a block outside the volume or with a malformed index is INVALID_BLOCK', async (t) => {
  const { emulator, ebs } = await run(t);
  const id = await start(ebs);
  const blocks = 2 ** 30 / SMALL;
  for (const index of [String(blocks), '-1', '1.5', 'x', '99999999999']) {
    const path = `/snapshots/${id}/blocks/${index}`;
    const reply = await raw(emulator.url, { method: 'PUT', path, headers: good, body: data });
    assert.deepEqual(errorOf(reply), [400, 'ValidationException', 'INVALID_BLOCK'], index);
  }
  await put(ebs, id, blocks - 1, data);
});

test('a block put again is overwritten and counts once', async (t) => {
  const { emulator, ebs } = await run(t);
  const id = await start(ebs);
  for (const body of [randomBlock(), Buffer.alloc(SMALL), data]) await put(ebs, id, 7, body);
  await complete(ebs, id, 1, sha256(sha256(data)).toString('base64'));
  assert.equal(await settled(emulator, id), 'completed');
  assert.deepEqual([...(await download(ebs, id))], [[7, data]]);
});

test('a block of zeros is listed and read like any other, also where data were before', async (t) => {
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

test('many puts at once all arrive', async (t) => {
  const { emulator, ebs } = await run(t);
  const id = await start(ebs);
  const blocks = new Map(Array.from({ length: 200 }, (_, n) => [n * 3, randomBlock()]));
  await Promise.all([...blocks].map(([block, body]) => put(ebs, id, block, body)));
  await complete(ebs, id, 200);
  await settled(emulator, id);
  assert.deepEqual(await download(ebs, id), blocks);
});

test('two puts of one block at the same time may conflict, and then say so', async (t) => {
  const { ebs } = await run(t, { blockSize: 2 ** 20 });
  const id = await start(ebs);
  const body = randomBlock(2 ** 20);
  const results = await Promise.allSettled(Array.from({ length: 20 }, () => put(ebs, id, 0, body)));
  const failures = results.filter((result) => result.status === 'rejected');
  for (const { reason } of failures) refusal('ValidationException', 'CONFLICTING_BLOCK_UPDATE')(reason);
  assert.ok(failures.length < results.length);
});

test('blocks can only be put while the snapshot is pending', async (t) => {
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

test('right after the start, puts do not find the snapshot yet', async (t) => {
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

test("a put of the service's real block size goes through the SDK with its checksum in the reply", async (t) => {
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
