/** A SOCKS proxy, versions 4, 4a and 5, that connects everything to one port of this machine. */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import type { TestContext } from 'node:test';

/** The destination of a connection, as the client sent it. */
export interface SocksRequest {
  readonly version: number;
  /** The name or the address, as it was sent. */
  readonly host: string;
  readonly port: number;
  readonly user: string | undefined;
}

interface SocksOptions {
  /** The port that connections are made to. */
  readonly port?: number;
  /** Asks for them, and accepts no others. */
  readonly login?: { readonly user: string; readonly password: string };
  /** The code of version 5 with which each request is refused. */
  readonly refusal?: number;
}

/** Returns the port, and the requests as they come. */
export async function startSocks(
  t: TestContext,
  options: SocksOptions,
): Promise<{ port: number; requests: SocksRequest[] }> {
  const requests: SocksRequest[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    void serve(socket, options, requests).catch(() => socket.end());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return { port: (server.address() as AddressInfo).port, requests };
}

async function take(socket: Socket, length: number): Promise<Buffer> {
  for (;;) {
    const taken = socket.read(length) as Buffer | null;
    if (taken !== null) return taken;
    await Promise.race([
      once(socket, 'readable'),
      once(socket, 'close').then(() => Promise.reject(new Error('left'))),
    ]);
  }
}

async function takeByte(socket: Socket): Promise<number> {
  return (await take(socket, 1))[0]!;
}

/** Text up to a zero byte. */
async function takeText(socket: Socket): Promise<string> {
  let text = '';
  for (let byte = await takeByte(socket); byte !== 0; byte = await takeByte(socket))
    text += String.fromCharCode(byte);
  return text;
}

/** Text after a byte with its length. */
async function takeCounted(socket: Socket): Promise<string> {
  return (await take(socket, await takeByte(socket))).toString();
}

async function serve(socket: Socket, options: SocksOptions, requests: SocksRequest[]): Promise<void> {
  const version = await takeByte(socket);
  requests.push(version === 4 ? await readVersion4(socket) : await readVersion5(socket, options));
  const { port, refusal } = options;
  if (refusal !== undefined) {
    socket.end(Buffer.from([5, refusal, 0, 1, 0, 0, 0, 0, 0, 0]));
    return;
  }
  const outward = connect(port!, '127.0.0.1');
  outward.on('error', () => socket.destroy());
  await once(outward, 'connect');
  socket.write(Buffer.from(version === 4 ? [0, 90, 0, 0, 0, 0, 0, 0] : [5, 0, 0, 1, 0, 0, 0, 0, 0, 0]));
  socket.on('close', () => outward.destroy());
  socket.pipe(outward).pipe(socket);
}

async function readVersion4(socket: Socket): Promise<SocksRequest> {
  const [, high, low, ...address] = await take(socket, 7);
  const user = await takeText(socket);
  // 4a has a name after an impossible address.
  const named = address.slice(0, 3).every((byte) => byte === 0);
  const host = named ? await takeText(socket) : address.join('.');
  return { version: 4, host, port: high! * 256 + low!, user: user || undefined };
}

async function readVersion5(socket: Socket, { login }: SocksOptions): Promise<SocksRequest> {
  const methods = await take(socket, await takeByte(socket));
  let user: string | undefined;
  if (login === undefined) {
    socket.write(Buffer.from([5, 0]));
  } else {
    if (!methods.includes(2)) return refuse(socket, [5, 255]);
    socket.write(Buffer.from([5, 2]));
    await takeByte(socket);
    user = await takeCounted(socket);
    if (user !== login.user || (await takeCounted(socket)) !== login.password) return refuse(socket, [1, 1]);
    socket.write(Buffer.from([1, 0]));
  }
  const type = (await take(socket, 4))[3]!;
  const host =
    type === 3 ? await takeCounted(socket) : [...(await take(socket, type === 1 ? 4 : 16))].join('.');
  return { version: 5, host, port: (await take(socket, 2)).readUInt16BE(), user };
}

function refuse(socket: Socket, reply: readonly number[]): never {
  socket.end(Buffer.from(reply));
  throw new Error('no valid login');
}
