import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { put, randomBlock, run, SMALL, sha256, start } from './client.ts';
import { connectTo, errorOf, parseReply, raw, readToEnd, requestText } from './raw.ts';

const data = randomBlock();
const digest = sha256(data).toString('base64');
const good = {
  'x-amz-Data-Length': String(SMALL),
  'x-amz-Checksum': digest,
  'x-amz-Checksum-Algorithm': 'SHA256',
};

test('a put with invalid headers or data stores nothing', async (t) => {
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
    ['a length that is not a number', { ...good, 'x-amz-Data-Length': 'many' }, data],
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

test('truncated data is rejected with "Failed to read block data"', async (t) => {
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

test('a client that disconnects within the body stores nothing and does not disturb other clients', async (t) => {
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

test('a body above the limit is rejected, and the connection stays usable', async (t) => {
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

test('a block outside the volume or with a malformed index is rejected with INVALID_BLOCK', async (t) => {
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
