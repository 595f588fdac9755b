/** A line between a client and a server that carries so many bytes a second in each direction, for all connections together. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

/** Resolves with the URL of the line's near end; it ends with the test. */
export async function slowLine(t: TestContext, farEnd: string, bytesPerSecond: number): Promise<string> {
  const sockets = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect(Number(new URL(farEnd).port), '127.0.0.1');
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => other.destroy());
    }
    void pump(near, far, up);
    void pump(far, near, down);
  });
  const up = direction(bytesPerSecond);
  const down = direction(bytesPerSecond);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

type Carry = (bytes: number) => Promise<void>;

/** Connections take turns: each has one piece on its way. */
function direction(bytesPerSecond: number): Carry {
  let freeAt = 0;
  return async (bytes) => {
    const now = performance.now();
    freeAt = Math.max(freeAt, now) + (bytes / bytesPerSecond) * 1000;
    await sleep(freeAt - now);
  };
}

async function pump(from: Socket, to: Socket, carry: Carry): Promise<void> {
  try {
    for await (const piece of from as AsyncIterable<Buffer>) {
      await carry(piece.length);
      if (!to.write(piece)) await once(to, 'drain');
    }
    to.end();
  } catch {
    to.destroy();
  }
}
