/** A link between a client and a server with limited bandwidth in each direction, shared by all connections. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

/** Resolves with the URL of the link's client end; it closes after the test. */
export async function slowLine(t: TestContext, serverUrl: string, bytesPerSecond: number): Promise<string> {
  const sockets = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect(Number(new URL(serverUrl).port), '127.0.0.1');
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
  const up = limit(bytesPerSecond);
  const down = limit(bytesPerSecond);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

type Throttle = (bytes: number) => Promise<void>;

/** Connections take turns: each has one chunk in transit. */
function limit(bytesPerSecond: number): Throttle {
  let freeAt = 0;
  return async (bytes) => {
    const now = performance.now();
    freeAt = Math.max(freeAt, now) + (bytes / bytesPerSecond) * 1000;
    await sleep(freeAt - now);
  };
}

async function pump(from: Socket, to: Socket, throttle: Throttle): Promise<void> {
  try {
    for await (const chunk of from as AsyncIterable<Buffer>) {
      await throttle(chunk.length);
      if (!to.write(chunk)) await once(to, 'drain');
    }
    to.end();
  } catch {
    to.destroy();
  }
}
