/** Replies that the fast block API understands, and those that it passes to the SDK. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseReplyHead } from '../../src/ebs/fast/reply-head.ts';
import { noOpenssl } from './certificates.ts';
import { closed, data, digest, fastApi, headOf, listen, SIZE } from './fast-server.ts';

const headBytes = (text: string) => Buffer.from(text, 'latin1');
const reply = Buffer.concat([headBytes(headOf()), data]);

const deliveries: readonly [string, (send: (bytes: Buffer) => Promise<void>) => Promise<void>][] = [
  ['in one piece', (send) => send(reply)],
  [
    'with head and body in two pieces',
    async (send) => {
      await send(headBytes(headOf()));
      await send(data);
    },
  ],
  [
    'with a head that arrives byte by byte',
    async (send) => {
      for (const byte of headBytes(headOf())) await send(Buffer.of(byte));
      await send(data);
    },
  ],
  [
    'in pieces of 4,099 bytes',
    async (send) => {
      for (let at = 0; at < reply.length; at += 4_099) await send(reply.subarray(at, at + 4_099));
    },
  ],
  [
    'with a late last byte',
    async (send) => {
      await send(reply.subarray(0, -1));
      await send(reply.subarray(-1));
    },
  ],
];

for (const tls of [false, true]) {
  for (const [how, deliver] of deliveries) {
    const skip = tls && noOpenssl;
    test(`blocks are received ${how}, over ${tls ? 'TLS' : 'TCP'}`, { skip }, async (t) => {
      const { url, sockets } = await listen(
        t,
        ({ socket }) => {
          // Pieces arrive separately, because each is sent in its own turn of the event loop.
          const send = (bytes: Buffer) =>
            new Promise<void>((resolve) => {
              socket.write(bytes, () => setImmediate(resolve));
            });
          void deliver(send);
        },
        { tls },
      );
      const { get, buffer, asked } = fastApi(t, url);
      for (let count = 0; count < 3; count++) {
        buffer.fill(0);
        const received = await get();
        assert.deepEqual(received, { dataLength: SIZE, digest, requestId: 'an-id' });
        assert.ok(buffer.equals(data));
      }
      assert.deepEqual(asked, []);
      assert.equal(sockets.length, 1);
    });
  }
}

const changed = (changes: Record<string, string | undefined>, status?: string) => headOf(changes, status);
const strange: readonly [string, string | Buffer][] = [
  ['another status', changed({}, '206 Partial Content')],
  ['a failure', changed({}, '500 Internal Server Error')],
  ['a redirect', changed({ Location: 'http://elsewhere' }, '307 Temporary Redirect')],
  ['an interim status', changed({}, '100 Continue')],
  ['an older protocol', headOf().replace('HTTP/1.1', 'HTTP/1.0')],
  ['a newer protocol', headOf().replace('HTTP/1.1', 'HTTP/2.0')],
  ['another protocol', 'SSH-2.0-OpenSSH_9.6\r\n\r\n'],
  ['a status of four digits', changed({}, '2000 OK')],
  ['no Content-Length', changed({ 'Content-Length': undefined })],
  ['a negative Content-Length', changed({ 'Content-Length': '-1' })],
  ['a hexadecimal Content-Length', changed({ 'Content-Length': '0x10000' })],
  ['two lengths in one Content-Length', changed({ 'Content-Length': `${SIZE}, ${SIZE}` })],
  ['two Content-Lengths', headOf().replace('Content-Type', `content-length: ${SIZE}\r\nContent-Type`)],
  ['a Content-Length beyond the buffer', changed({ 'Content-Length': String(SIZE + 1) })],
  ['a Content-Length of 10^300', changed({ 'Content-Length': `1${'0'.repeat(300)}` })],
  ['a chunked body', changed({ 'Transfer-Encoding': 'chunked' })],
  ['a compressed body', changed({ 'Content-Encoding': 'gzip' })],
  ['an upgrade', changed({ Upgrade: 'h2c' })],
  ['two checksums', headOf().replace('Content-Type', 'X-AMZ-CHECKSUM: AAAA\r\nContent-Type')],
  ['a line without a colon', headOf().replace('Content-Type:', 'Content-Type')],
  ['a folded line', headOf().replace('Content-Type', ' folded\r\nContent-Type')],
  ['a space before a colon', headOf().replace('Content-Type:', 'Content-Type :')],
  ['a lone line feed', headOf().replace('an-id', 'an\n-id')],
  ['a NUL', headOf().replace('an-id', 'an\0-id')],
  ['a carriage return at the end of a value', headOf().replace('an-id', 'an-id\r')],
  ['a line feed before a value', headOf().replace('an-id', '\n an-id')],
  ['a line feed in the status line', headOf({}, '200 OK\nContent-Length: 5')],
  ['a carriage return in the status line', headOf({}, '200 OK\r')],
  ['a no-break space after a Content-Length', changed({ 'Content-Length': `${SIZE}\xa0` })],
  ['two lengths in one header', changed({ 'Content-Length': `${SIZE}, ${SIZE}` })],
  ['a tab after a Content-Length', changed({ 'Content-Length': `${SIZE}\t` })],
  ['a head of 9 KiB', changed({ 'x-amz-huge': 'x'.repeat(9_216) })],
  ['a head without an end', `HTTP/1.1 200 OK\r\n${'x-amz-flood: x\r\n'.repeat(5_000)}`],
  [
    'more body than its length',
    Buffer.concat([headBytes(changed({ 'Content-Length': '4', 'x-amz-Data-Length': '4' })), Buffer.alloc(9)]),
  ],
];

for (const [what, bytes] of strange) {
  test(`after a reply with ${what} the SDK repeats the request, and the connection is closed`, async (t) => {
    const { url, sockets, heads } = await listen(t, ({ socket }) => {
      socket.write(bytes, 'latin1');
    });
    const { get, asked } = fastApi(t, url);
    assert.deepEqual(await get(), { dataLength: SIZE, digest });
    assert.deepEqual(asked, ['get']);
    await closed(sockets[0]);
    assert.equal(heads.length, 1);
  });
}

test('the SDK repeats a put whose reply is not status 201', async (t) => {
  const { url, sockets } = await listen(t, ({ socket }) => {
    socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}');
  });
  const { put, asked } = fastApi(t, url);
  await put();
  assert.deepEqual(asked, ['put']);
  await closed(sockets[0]);
});

const refusal = (body: string, fields = '') =>
  `HTTP/1.1 400 Bad Request\r\nx-amzn-RequestId: an-id\r\n${fields}Content-Length: ${body.length}\r\n\r\n${body}`;

test('the SDK parses an error reply without a second request, and the connection is reused', async (t) => {
  const throttle = JSON.stringify({
    __type: 'RequestThrottledException',
    Reason: 'RESOURCE_LEVEL_THROTTLE',
    Message: 'slower',
  });
  const { url, sockets, heads } = await listen(t, ({ socket, request }) => {
    socket.write(request < 3 ? refusal(throttle) : reply);
  });
  const { get, put, buffer, asked } = fastApi(t, url);
  const throttled = { class: 'throttle', code: 'THROTTLED', requestId: 'an-id', httpStatus: 400, block: 5 };
  await assert.rejects(get(), {
    ...throttled,
    operation: 'GetSnapshotBlock',
    message: /RESOURCE_LEVEL_THROTTLE/,
  });
  await assert.rejects(put(), { ...throttled, operation: 'PutSnapshotBlock' });
  await get();
  assert.ok(buffer.equals(data));
  assert.deepEqual([sockets.length, heads.length, asked.length], [1, 3, 0]);
});

test('an error has the class of its header or status, whatever its body', async (t) => {
  const bodies: [string, string, string][] = [
    ['{}', 'x-amzn-ErrorType: AccessDeniedException:http://x\r\n', 'ACCESS_DENIED'],
    ['', '', 'SERVICE_REJECTED'],
    ['<html>no</html>', 'Content-Type: text/html\r\n', 'SERVICE_REJECTED'],
    ['{"__type":"Th', '', 'SERVICE_REJECTED'],
    ['[]', '__proto__: x\r\nconstructor: y\r\n', 'SERVICE_REJECTED'],
    ['['.repeat(8_192), '', 'SERVICE_REJECTED'],
    ['{"__type":{"a":1},"message":[7],"Reason":null}', '', 'SERVICE_REJECTED'],
  ];
  const { url, heads } = await listen(t, ({ socket, request }) => {
    const [body, fields] = bodies[request - 1] as [string, string, string];
    socket.write(refusal(body, fields));
  });
  const { get, asked } = fastApi(t, url);
  for (const [, , code] of bodies) await assert.rejects(get(), { code });
  assert.deepEqual([heads.length, asked.length], [bodies.length, 0]);
});

test('the SDK repeats requests with long or chunked error replies, and a cut one is a lost connection', async (t) => {
  const replies = [
    refusal('x'.repeat(8_193)),
    'HTTP/1.1 400 Bad Request\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n',
    'HTTP/1.1 400 Bad Request\r\nContent-Length: 9\r\n\r\n{}',
  ];
  const { url } = await listen(t, ({ socket, request }) => socket.end(replies[request - 1] ?? ''));
  const { get, asked } = fastApi(t, url);
  await get();
  await get();
  await assert.rejects(get(), { code: 'CONNECTION_LOST' });
  assert.deepEqual(asked, ['get', 'get']);
});

test('a put that is refused before its payload was read fails at once and closes its connection', async (t) => {
  const { url, sockets } = await listen(
    t,
    ({ socket }) => socket.write(refusal('{"__type":"ConflictException"}')),
    {
      whenHead: true,
      onSocket: (socket) => socket.once('data', () => socket.pause()),
    },
  );
  const { put, asked } = fastApi(t, url);
  await assert.rejects(put(Buffer.alloc(2 ** 24)), { code: 'CONFLICT' });
  assert.deepEqual(asked, []);
  sockets[0]?.resume();
  await closed(sockets[0]);
});

test('the body of a reply to a put is ignored', async (t) => {
  const bodies = ['{}', '', ' '.repeat(8_000), '{"a": 1}'];
  const { url, sockets } = await listen(t, ({ socket, request }) => {
    const body = bodies[request - 1] ?? '';
    socket.write(`HTTP/1.1 201 Created\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
  });
  const { put, asked } = fastApi(t, url);
  for (const _body of bodies) await put();
  assert.deepEqual(asked, []);
  assert.equal(sockets.length, 1);
});

test('calls that do not transfer blocks are passed to the SDK', async (t) => {
  const { api, asked } = fastApi(t, 'http://127.0.0.1:1');
  await api.listSnapshotBlocks({ snapshotId: 'snap-1' });
  await api.listChangedBlocks({ secondSnapshotId: 'snap-1' });
  await api.startSnapshot({ volumeSizeGiB: 1, clientToken: 'x' });
  await api.completeSnapshot({ snapshotId: 'snap-1', changedBlocksCount: 0 });
  api.close();
  assert.deepEqual(asked, ['list', 'changed', 'start', 'complete', 'close']);
});

test('the fields of a head are read in any case and order', () => {
  const head = parseReplyHead(
    'HTTP/1.1 201\r\nCONNECTION: Keep-Alive\r\nx-other: \xe9\tx\r\nX-Amz-Checksum:AAAA\r\ncontent-length:  12 ',
  );
  assert.deepEqual(head, {
    status: 201,
    contentLength: 12,
    keepAlive: true,
    dataLength: undefined,
    checksum: 'AAAA',
    algorithm: undefined,
    requestId: undefined,
  });
  for (const connection of ['close', 'Close', 'keep-alive, close', 'upgrade']) {
    const text = `HTTP/1.1 200 OK\r\nConnection: ${connection}\r\nContent-Length: 0`;
    assert.equal(parseReplyHead(text).keepAlive, false);
  }
});
