/** Replies that never begin or never end, though bytes arrive, fail in time: alone they would hold up a whole transfer. */
import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { connect, stacks } from './contract.ts';
import { data, digest, headOf, listen } from './fast-server.ts';

/** Writes a piece every 20 ms until the connection is closed. */
function repeat(socket: Socket, nextPiece: () => string | undefined): void {
  const timer = setInterval(() => {
    const piece = nextPiece();
    if (piece !== undefined && socket.writable) socket.write(piece);
  }, 20);
  socket.once('close', () => clearInterval(timer));
}

function drip(socket: Socket, text: string): void {
  const bytes = [...text];
  repeat(socket, () => bytes.shift());
}

const replies: Record<string, (socket: Socket) => void> = {
  'switches to another protocol': (socket) =>
    socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n'),
  'is an interim one, without end': (socket) =>
    repeat(socket, () => 'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n'),
  'has a head that arrives at 50 bytes a second': (socket) => drip(socket, headOf()),
  'has a body that arrives at 50 bytes a second': (socket) => {
    socket.write(headOf());
    drip(socket, '{'.padEnd(2_000));
  },
  'has a body without length that arrives at 50 bytes a second': (socket) => {
    socket.write(headOf({ 'Content-Length': undefined }));
    drip(socket, '{'.padEnd(2_000));
  },
};

const block = { snapshotId: 'snap-1', blockIndex: 5 };

// Over both transports; retries would hide how a single request ends.
for (const stack of stacks.filter(({ retries }) => !retries)) {
  for (const [what, reply] of Object.entries(replies)) {
    test(`${stack.name}: a reply that ${what} has stalled`, async (t: TestContext) => {
      const { url } = await listen(t, ({ socket }) => reply(socket));
      const { api } = await connect(t, stack, {
        endpoint: url,
        deadlines: { connectMs: 300, idleMs: 400 },
      });
      const stalled = { class: 'transient', code: 'STALLED' };
      await assert.rejects(api.listSnapshotBlocks({ snapshotId: 'snap-1' }), stalled);
      await assert.rejects(api.completeSnapshot({ snapshotId: 'snap-1', changedBlocksCount: 1 }), stalled);
      const get = api.getSnapshotBlock({ ...block, blockToken: 'a-token' }, Buffer.alloc(data.length));
      await assert.rejects(get, stalled);
      // The payload's time, at 512 bytes a second, is added.
      const put = api.putSnapshotBlock({ ...block, data: data.subarray(0, 1), digest });
      await assert.rejects(put, stalled);
    });
  }
}
