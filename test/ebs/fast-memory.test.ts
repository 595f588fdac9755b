/** How long the fast block API uses its caller's memory, and what counts as progress of a payload. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { noOpenssl } from './certificates.ts';
import { closed, data, fastApi, headOf, listen, SIZE } from './fast-server.ts';

const block = Buffer.concat([Buffer.from(headOf()), data]);
const created = 'HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}';

for (const tls of [false, true]) {
  const over = tls ? 'TLS' : 'TCP';

  test(`after an abort nothing is written into the buffer, over ${over}`, {
    skip: tls && noOpenssl,
  }, async (t) => {
    const half = headOf().length + SIZE / 2;
    let rest: (() => void) | undefined;
    const { url, sockets } = await listen(
      t,
      ({ socket }) => {
        socket.write(block.subarray(0, half));
        rest = () => socket.write(block.subarray(half));
      },
      { tls },
    );
    const { get, buffer } = fastApi(t, url);
    const abort = new AbortController();
    const ended = assert.rejects(get(abort.signal), { class: 'aborted' });
    while (buffer[SIZE / 2 - 1] !== data[SIZE / 2 - 1] || buffer[0] !== data[0])
      await new Promise(setImmediate);
    // The rest is in flight when the abort comes.
    rest?.();
    abort.abort();
    buffer.fill(0xee);
    await ended;
    await closed(sockets[0]);
    assert.ok(buffer.equals(Buffer.alloc(SIZE, 0xee)));
  });

  test(`a payload may be overwritten as soon as its put resolves, over ${over}`, {
    skip: tls && noOpenssl,
  }, async (t) => {
    const payload = randomBytes(2 ** 23);
    const sent = createHash('sha256').update(payload).digest('hex');
    const hash = createHash('sha256');
    let body = 0;
    let seenHead = false;
    const { url } = await listen(t, () => {}, {
      tls,
      onSocket: (socket) => {
        socket.on('data', (chunk: Buffer) => {
          // Replies at once, long before the payload has arrived.
          if (!seenHead) socket.write(created);
          const start = seenHead ? 0 : chunk.indexOf('\r\n\r\n') + 4;
          seenHead = true;
          hash.update(chunk.subarray(start));
          body += chunk.length - start;
          socket.pause();
          setTimeout(() => socket.resume(), 1);
        });
      },
    });
    const { put, asked } = fastApi(t, url);
    await put(payload);
    payload.fill(0);
    while (body < payload.length) await new Promise((resolve) => setTimeout(resolve, 1));
    assert.equal(hash.digest('hex'), sent);
    assert.deepEqual(asked, []);
  });

  test(`a payload that is sent slowly does not stall, over ${over}`, {
    skip: tls && noOpenssl,
  }, async (t) => {
    const payload = Buffer.alloc(2 ** 24);
    const idleMs = 20;
    // Time passes as the server reads, whatever the machine does.
    let now = performance.now();
    t.mock.method(performance, 'now', () => now);
    let body = 0;
    const { url } = await listen(t, () => {}, {
      tls,
      onSocket: (socket) => {
        socket.on('data', (chunk: Buffer) => {
          body += chunk.length;
          if (body > payload.length) socket.write(created);
          // The end of the payload, in the kernel's buffers, shows no progress and must be read fast.
          if (body > payload.length / 2) return;
          now += (idleMs * chunk.length) / (5 * 2 ** 20);
          socket.pause();
          setTimeout(() => socket.resume(), 1);
        });
      },
    });
    const { put } = fastApi(t, url, { deadlines: { idleMs } });
    const start = now;
    await put(payload);
    assert.ok(now - start > 1.5 * idleMs);
  });
}
