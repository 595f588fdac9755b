/** A connection is used again only after it was quiet: what comes unasked must not answer the next request. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { closed, data, digest, fastApi, headOf, listen, SIZE } from './fast-server.ts';

const other = randomBytes(SIZE);
const otherDigest = createHash('sha256').update(other).digest('base64');
const replyTo = (id: string, which: 'data' | 'other' = 'data') =>
  Buffer.concat([
    Buffer.from(
      headOf({ 'x-amzn-RequestId': id, ...(which === 'other' ? { 'x-amz-Checksum': otherDigest } : {}) }),
    ),
    which === 'other' ? other : data,
  ]);
const id = (request: number) => `0b5a5a3c-4c9e-4c1e-9a51-${String(request).padStart(12, '0')}`;

const extras: Record<string, (request: number) => Buffer> = {
  'the reply again': (request) => replyTo(id(request), 'other'),
  'a reply with another request ID': () => replyTo(id(999), 'other'),
  'one byte': () => Buffer.from('H'),
  'an empty line': () => Buffer.from('\r\n'),
};

for (const [what, extra] of Object.entries(extras)) {
  test(`a connection on which ${what} follows the reply is closed, and the next request gets its own`, async (t) => {
    const { url, sockets } = await listen(t, ({ socket, request }) => {
      if (request === 1) socket.write(Buffer.concat([replyTo(id(1), 'other'), extra(1)]));
      else socket.write(replyTo(id(request)));
    });
    const { get, buffer } = fastApi(t, url);
    const first = await get();
    assert.equal(Buffer.from(first.digest).toString('base64'), otherDigest);
    const second = await get();
    assert.ok(digest.equals(second.digest), 'the next request got what was left of the first');
    assert.ok(buffer.equals(data));
    assert.equal(sockets.length, 2);
    await closed(sockets[0]);
  });
}

test('a second copy of a reply that comes only with the next request is not its answer', async (t) => {
  const { url, sockets } = await listen(t, ({ socket, request }) => {
    if (request === 1) socket.write(replyTo(id(1), 'other'));
    else if (request === 2) socket.write(replyTo(id(1), 'other'));
    else socket.write(replyTo(id(request)));
  });
  const { get } = fastApi(t, url);
  await get();
  await assert.rejects(get(), { class: 'transient', code: 'CONNECTION_LOST', message: /sent a reply twice/ });
  assert.ok(digest.equals((await get()).digest));
  assert.equal(sockets.length, 2);
});

test('many requests over few connections, of which some replies arrive twice, all get their own blocks', async (t) => {
  const blocks = Array.from({ length: 200 }, () => randomBytes(SIZE));
  const { url } = await listen(t, ({ head, socket, request }) => {
    const block = blocks[Number(/blocks\/(\d+)/.exec(head)?.[1])] as Buffer;
    const checksum = createHash('sha256').update(block).digest('base64');
    const fields = { 'x-amzn-RequestId': id(request), 'x-amz-Checksum': checksum };
    const reply = Buffer.concat([Buffer.from(headOf(fields)), block]);
    socket.write(reply);
    if (request % 7 === 0) socket.write(reply);
  });
  const { api } = fastApi(t, url, { connections: 3 });
  const get = async (blockIndex: number): Promise<void> => {
    const buffer = Buffer.alloc(SIZE);
    const reference = { snapshotId: 'snap-1', blockIndex, blockToken: 'A' };
    for (;;) {
      try {
        const received = await api.getSnapshotBlock(reference, buffer);
        const wanted = blocks[blockIndex] as Buffer;
        assert.ok(
          createHash('sha256').update(wanted).digest().equals(received.digest),
          `block ${blockIndex}`,
        );
        assert.ok(buffer.equals(wanted), `block ${blockIndex}`);
        return;
      } catch (error) {
        if ((error as { class?: string }).class !== 'transient') throw error;
      }
    }
  };
  let next = 0;
  const worker = async () => {
    while (next < blocks.length) await get(next++);
  };
  await Promise.all([worker(), worker(), worker(), worker()]);
});
