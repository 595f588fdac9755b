/** A server that sends raw bytes, and the fast block API connected to it. */
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { createServer as createTlsServer } from 'node:tls';
import { EBSClient } from '@aws-sdk/client-ebs';
import type { EbsDirectApi } from '../../src/ebs/api.ts';
import { checkDeadlines, type Deadlines } from '../../src/ebs/connect.ts';
import { FastBlockApi } from '../../src/ebs/fast/fast-api.ts';
import { makeCertificates, setVariable } from './certificates.ts';

export const SIZE = 65_536;

export const data = randomBytes(SIZE);
export const digest = createHash('sha256').update(data).digest();

/** A block's head as the service sends it, with changes; `undefined` removes a field. */
export function headOf(changes: Record<string, string | undefined> = {}, status = '200 OK'): string {
  const fields: Record<string, string | undefined> = {
    'x-amzn-RequestId': 'an-id',
    'Content-Type': 'application/octet-stream',
    'Content-Length': String(SIZE),
    'x-amz-Data-Length': String(SIZE),
    'x-amz-Checksum': digest.toString('base64'),
    'x-amz-Checksum-Algorithm': 'SHA256',
    ...changes,
  };
  const lines = Object.entries(fields).flatMap(([name, value]) =>
    value === undefined ? [] : `${name}: ${value}`,
  );
  return `HTTP/1.1 ${[status, ...lines].join('\r\n')}\r\n\r\n`;
}

/** A request as the server received it. */
export interface Received {
  readonly head: string;
  readonly socket: Socket;
  /** Connections and requests so far, including this one. */
  readonly connection: number;
  readonly request: number;
}

export interface RawServer {
  readonly url: string;
  readonly sockets: Socket[];
  readonly heads: string[];
}

/** Listens until the test ends; calls `answer` for each request when its head and payload have arrived. */
export async function listen(
  t: TestContext,
  answer: (received: Received) => void,
  options: { tls?: boolean; onSocket?: (socket: Socket) => void; whenHead?: boolean } = {},
): Promise<RawServer> {
  const sockets: Socket[] = [];
  const heads: string[] = [];
  const serve = (socket: Socket) => {
    sockets.push(socket);
    const connection = sockets.length;
    socket.on('error', () => {});
    options.onSocket?.(socket);
    let pending = Buffer.alloc(0);
    let payload = 0;
    socket.on('data', (chunk: Buffer) => {
      if (payload > 0) {
        payload -= chunk.length;
        if (payload <= 0) answer({ head: heads.at(-1) ?? '', socket, connection, request: heads.length });
        return;
      }
      pending = Buffer.concat([pending, chunk]);
      const end = pending.indexOf('\r\n\r\n');
      if (end < 0) return;
      const head = pending.toString('latin1', 0, end + 4);
      const length = options.whenHead === true ? 0 : Number(/content-length:(\d+)/i.exec(head)?.[1] ?? 0);
      payload = length - (pending.length - end - 4);
      pending = Buffer.alloc(0);
      heads.push(head);
      if (payload <= 0) answer({ head, socket, connection, request: heads.length });
    });
  };
  const certificates = options.tls === true ? makeCertificates() : undefined;
  if (certificates !== undefined) setVariable(t, 'AWS_CA_BUNDLE', certificates.ca);
  const server =
    certificates === undefined
      ? createServer(serve)
      : createTlsServer({ key: certificates.key, cert: certificates.cert }, serve);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  const scheme = certificates === undefined ? 'http' : 'https';
  return { url: `${scheme}://127.0.0.1:${(server.address() as AddressInfo).port}`, sockets, heads };
}

/** Resolves when a connection is closed, with or without an error. */
export function closed(socket: Socket | undefined): Promise<void> {
  return new Promise((resolve) => {
    if (socket === undefined || socket.closed) resolve();
    else socket.once('close', () => resolve());
  });
}

/** Replaces the SDK's API: records the calls, which all succeed. */
function recording(asked: string[]): EbsDirectApi {
  const note = (operation: string) => async () => {
    asked.push(operation);
  };
  const api = {
    getSnapshotBlock: async () => {
      asked.push('get');
      return { dataLength: SIZE, digest };
    },
    putSnapshotBlock: note('put'),
    listSnapshotBlocks: note('list'),
    listChangedBlocks: note('changed'),
    startSnapshot: note('start'),
    completeSnapshot: note('complete'),
    close: () => {
      asked.push('close');
    },
  };
  return api as unknown as EbsDirectApi;
}

export interface FastOptions {
  connections?: number;
  deadlines?: Partial<Deadlines>;
  credentials?: EBSClient['config']['credentials'];
}

/** The fast API for an endpoint; `asked` has the calls that it passed to the SDK. */
export function fastApi(t: TestContext, endpoint: string, options: FastOptions = {}) {
  const client = new EBSClient({
    endpoint,
    region: 'us-east-1',
    credentials: options.credentials ?? { accessKeyId: 'AKID', secretAccessKey: 'secret' },
  });
  const asked: string[] = [];
  const { connections = 4 } = options;
  const deadlines = checkDeadlines(options.deadlines);
  const api = new FastBlockApi(recording(asked), client, { connections, deadlines });
  t.after(() => api.close());
  const buffer = Buffer.alloc(SIZE);
  const get = (signal?: AbortSignal) => {
    const reference = { snapshotId: 'snap-1', blockIndex: 5, blockToken: 'AAAB+/=' };
    return api.getSnapshotBlock(reference, buffer, signal === undefined ? {} : { signal });
  };
  const put = (payload: Uint8Array = data) =>
    api.putSnapshotBlock({ snapshotId: 'snap-1', blockIndex: 5, data: payload, digest });
  return { api, asked, buffer, get, put, client };
}
