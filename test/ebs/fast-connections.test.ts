/** Connections of the fast block API: reuse, queueing, replacement and timeouts. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { test } from 'node:test';
import type { TLSSocket } from 'node:tls';
import { Service } from '../../src/ebs/service.ts';
import { compileProgram } from '../support/compile.ts';
import { noOpenssl } from './certificates.ts';
import { environment } from './environment.ts';
import { closed, data, fastApi, headOf, listen, type Received, SIZE } from './fast-server.ts';

const block = Buffer.concat([Buffer.from(headOf()), data]);
const created = 'HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}';

test('a connection that was closed while it was free is replaced silently', async (t) => {
  const { url, sockets } = await listen(t, ({ socket }) => socket.write(block));
  const { get, buffer } = fastApi(t, url);
  await get();
  sockets[0]?.end();
  await closed(sockets[0]);
  buffer.fill(0);
  await get();
  assert.ok(buffer.equals(data));
  assert.equal(sockets.length, 2);
});

for (const how of ['closed', 'reset'] as const) {
  const end = (socket: Socket) => {
    if (how === 'closed') socket.end();
    else socket.resetAndDestroy();
  };

  test(`a get is repeated on a new connection when a reused one is ${how} before the reply`, async (t) => {
    const stale = new Set([2]);
    const { url, sockets } = await listen(t, ({ socket, request }) => {
      if (stale.has(request)) end(socket);
      else socket.write(block);
    });
    const { get, buffer, asked } = fastApi(t, url);
    await get();
    buffer.fill(0);
    await get();
    assert.ok(buffer.equals(data));
    assert.deepEqual([sockets.length, asked], [2, []]);
  });

  test(`a put is repeated with all its data when a reused connection is ${how} before the reply`, async (t) => {
    const { url, sockets, heads } = await listen(t, ({ socket, request }) => {
      if (request === 2) end(socket);
      else socket.write(created);
    });
    const { put, asked } = fastApi(t, url);
    await put();
    await put();
    assert.deepEqual([sockets.length, heads.length, asked], [2, 3, []]);
  });

  test(`a request is not repeated when a new connection is ${how} before the reply`, async (t) => {
    const { url, sockets } = await listen(t, ({ socket }) => end(socket));
    const { get, asked } = fastApi(t, url);
    await assert.rejects(get(), { class: 'transient', code: 'CONNECTION_LOST' });
    assert.deepEqual([sockets.length, asked], [1, []]);
  });
}

test('a request is repeated only once', async (t) => {
  const { url, sockets } = await listen(t, ({ socket, request }) => {
    if (request === 1) socket.write(block);
    else socket.end();
  });
  const { get } = fastApi(t, url);
  await get();
  await assert.rejects(get(), { class: 'transient', code: 'CONNECTION_LOST' });
  assert.equal(sockets.length, 2);
});

test('unexpected data closes the connection', async (t) => {
  const { url, sockets } = await listen(t, ({ socket }) => socket.write(block));
  const { get } = fastApi(t, url);
  await get();
  sockets[0]?.write('HTTP/1.1 200 OK\r\n');
  await closed(sockets[0]);
  await get();
  assert.equal(sockets.length, 2);
});

test('a connection that is old or was free for long is not used again', async (t) => {
  const { url, sockets } = await listen(t, ({ socket }) => socket.write(block));
  const { get } = fastApi(t, url);
  const start = performance.now();
  let now = start;
  t.mock.method(performance, 'now', () => now);
  await get();
  now += 14_000;
  await get();
  assert.equal(sockets.length, 1);
  now += 16_000;
  await get();
  assert.equal(sockets.length, 2);
  await closed(sockets[0]);
  // In use all the time, but older than five minutes.
  for (let minute = 0; minute < 32; minute++) {
    now += 10_000;
    await get();
  }
  assert.equal(sockets.length, 3);
});

test('requests above the limit of connections wait and are sent in order', async (t) => {
  const waiting: Received[] = [];
  const { url, sockets, heads } = await listen(t, (received) => waiting.push(received));
  const { api } = fastApi(t, url, { connections: 1 });
  const get = (blockIndex: number) =>
    api.getSnapshotBlock({ snapshotId: 'snap-1', blockIndex, blockToken: 'A' }, Buffer.alloc(SIZE));
  const all = Promise.all([get(1), get(2), get(3)]);
  const cancelled = new AbortController();
  const { signal } = cancelled;
  const dropped = assert.rejects(
    api.getSnapshotBlock({ snapshotId: 'snap-1', blockIndex: 4, blockToken: 'A' }, Buffer.alloc(SIZE), {
      signal,
    }),
    { class: 'aborted' },
  );
  const answer = setInterval(() => waiting.shift()?.socket.write(block), 5);
  t.after(() => clearInterval(answer));
  while (heads.length === 0) await new Promise(setImmediate);
  cancelled.abort();
  await Promise.all([all, dropped]);
  assert.deepEqual(
    heads.map((head) => /blocks\/(\d+)/.exec(head)?.[1]),
    ['1', '2', '3'],
  );
  assert.equal(sockets.length, 1);
});

test('a short transfer opens a few of its connections, and a long one all of them', async (t) => {
  const { url, sockets } = await listen(t, ({ socket }) => socket.write(block));
  const { api } = fastApi(t, url, { connections: 64 });
  const get = (blockIndex: number) =>
    api.getSnapshotBlock({ snapshotId: 'snap-1', blockIndex, blockToken: 'A' }, Buffer.alloc(SIZE));
  let index = 0;
  const untilBlock = async (end: number) => {
    while (index < end) await get(index++);
  };
  const transfer = (end: number) => Promise.all(Array.from({ length: 64 }, () => untilBlock(end)));
  await transfer(64);
  assert.ok(sockets.length >= 16 && sockets.length <= 16 + 64 / 16, `${sockets.length} for 64 blocks`);
  await transfer(1_024);
  assert.equal(sockets.length, 64);
});

test('a request that waits for a connection gets a new one when that is lost', async (t) => {
  const { url } = await listen(t, ({ socket, request }) => {
    if (request === 1) socket.destroy();
    else socket.write(block);
  });
  const { get } = fastApi(t, url, { connections: 1 });
  const first = assert.rejects(get(), { class: 'transient' });
  const second = get();
  await first;
  await second;
});

test('a TLS session is resumed on the next connection', { skip: noOpenssl }, async (t) => {
  const closing = Buffer.concat([Buffer.from(headOf({ Connection: 'close' })), data]);
  const { url, sockets } = await listen(t, ({ socket }) => socket.write(closing), { tls: true });
  const { get } = fastApi(t, url);
  await get();
  await get();
  assert.deepEqual(
    sockets.map((socket) => Boolean((socket as TLSSocket).isSessionReused())),
    [false, true],
  );
});

test('block requests resume the TLS session of the list that came before', { skip: noOpenssl }, async (t) => {
  environment(t, { AWS_ACCESS_KEY_ID: 'A', AWS_SECRET_ACCESS_KEY: 'B' });
  const list = JSON.stringify({ Blocks: [], VolumeSize: 1, BlockSize: SIZE });
  const listed = `HTTP/1.1 200 OK\r\nContent-Length: ${list.length}\r\n\r\n${list}`;
  const waiting: Socket[] = [];
  const { url, sockets } = await listen(
    t,
    ({ head, socket }) => {
      if (/\/blocks\/\d/.test(head)) waiting.push(socket);
      else socket.write(listed);
      // All at once, so that none takes the connection of another.
      if (waiting.length === 3) for (const one of waiting) one.write(block);
    },
    { tls: true },
  );
  const service = new Service({ endpoint: url, region: 'us-east-1', transport: 'fast' }, 3, () => {});
  t.after(() => service.close());
  const { api } = await service.ebs();
  await api.listSnapshotBlocks({ snapshotId: 'snap-1' });
  const get = (blockIndex: number) =>
    api.getSnapshotBlock({ snapshotId: 'snap-1', blockIndex, blockToken: 'A' }, Buffer.alloc(SIZE));
  await Promise.all([get(1), get(2), get(3)]);
  assert.deepEqual(
    sockets.map((socket) => Boolean((socket as TLSSocket).isSessionReused())),
    [false, true, true, true],
  );
});

test('a connection that is not established in time has stalled', async (t) => {
  // The server accepts connections and never starts TLS.
  const { url } = await listen(t, () => {});
  const { get } = fastApi(t, url.replace('http:', 'https:'), { deadlines: { connectMs: 100 } });
  await assert.rejects(get(), {
    class: 'transient',
    code: 'STALLED',
    message: /no connection within 0\.1 s/,
  });
});

test('a host with several addresses is reached at the one that listens', async (t) => {
  const server = createServer((_request, response) => response.socket?.write(block));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  const { get, buffer } = fastApi(t, `http://localhost:${(server.address() as AddressInfo).port}`);
  await get();
  assert.ok(buffer.equals(data));
});

test('close() closes free connections', async (t) => {
  const { url, sockets } = await listen(t, ({ socket }) => socket.write(block));
  const { get, api } = fastApi(t, url);
  await get();
  api.close();
  await closed(sockets[0]);
});

test('a connection that is in use is closed after close() when its request has ended', async (t) => {
  const { url, sockets } = await listen(t, ({ socket }) => {
    api.close();
    setImmediate(() => socket.write(block));
  });
  const { get, api } = fastApi(t, url);
  await get();
  await closed(sockets[0]);
});

test('free connections do not keep the process alive', async (t) => {
  const { url } = await listen(t, ({ socket }) => socket.write(block));
  const script = `
    import { fastApi } from './test/ebs/fast-server.ts';
    const { get } = fastApi({ after: () => {} }, '${url}');
    await get();
    console.log('done');`;
  const child = spawn(process.execPath, [await compileProgram({ text: script })]);
  assert.deepEqual(await once(child, 'exit'), [0, null]);
});

test('credentials and snapshot IDs that need escaping are passed to the SDK, and missing credentials are an error', async (t) => {
  const { url, heads } = await listen(t, ({ socket }) => socket.write(block));
  const keys = { accessKeyId: 'AKID', secretAccessKey: 'x' };
  const injecting = fastApi(t, url, { credentials: async () => ({ ...keys, sessionToken: 'a\r\nhost: b' }) });
  await injecting.get();
  assert.deepEqual(injecting.asked, ['get']);
  const failing = fastApi(t, url, {
    credentials: async () => {
      throw Object.assign(new Error('none'), { name: 'CredentialsProviderError' });
    },
  });
  await assert.rejects(failing.get(), { class: 'config', code: 'NO_CREDENTIALS' });
  const odd = fastApi(t, url);
  await odd.api.getSnapshotBlock({ snapshotId: '../x', blockIndex: 0, blockToken: 'A' }, Buffer.alloc(SIZE));
  assert.deepEqual(odd.asked, ['get']);
  assert.deepEqual(heads, []);
});
