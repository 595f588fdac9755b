/** Raw HTTP requests, to see replies byte for byte. */

import { connect, type Socket } from 'node:net';

export interface RawReply {
  status: number;
  /** In order, with the original case of names. */
  headers: [string, string][];
  body: Buffer;
  /** How the connection ended: `end` (FIN), an error code such as `ECONNRESET`, or `open` if it did not. */
  ended: string;
}

const date = new Date().toISOString().replace(/[-:]|\.\d+/g, '');

/** Headers with a well-formed, unverified signature. */
export function signed(service = 'ebs', scopeRegion = 'us-east-1'): Record<string, string> {
  return {
    Host: 'localhost',
    'X-Amz-Date': date,
    Authorization:
      `AWS4-HMAC-SHA256 Credential=AKID/${date.slice(0, 8)}/${scopeRegion}/${service}/aws4_request, ` +
      `SignedHeaders=host;x-amz-checksum;x-amz-checksum-aggregation-method;x-amz-checksum-algorithm;` +
      `x-amz-changedblockscount;x-amz-data-length;x-amz-date;x-amz-progress, Signature=${'0'.repeat(64)}`,
  };
}

export interface RawRequest {
  method?: string;
  path: string;
  /** Added to those of `signed()`; undefined omits one. */
  headers?: Record<string, string | undefined>;
  body?: Buffer | string;
  /** Omit Content-Length. */
  withoutLength?: boolean;
}

export function requestText(request: RawRequest): Buffer {
  const body = Buffer.from(request.body ?? '');
  const headers: Record<string, string | undefined> = { ...signed(), ...request.headers };
  if (request.withoutLength !== true && (body.length > 0 || request.method !== undefined)) {
    headers['Content-Length'] ??= String(body.length);
  }
  const lines = [`${request.method ?? 'GET'} ${request.path} HTTP/1.1`];
  for (const [name, value] of Object.entries(headers))
    if (value !== undefined) lines.push(`${name}: ${value}`);
  return Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`), body]);
}

/** Connects; the caller destroys the socket. */
export function connectTo(url: string): Socket {
  const { hostname, port } = new URL(url);
  return connect(Number(port), hostname);
}

/** Sends one request, and reads until the connection ends. */
export async function raw(url: string, request: RawRequest): Promise<RawReply> {
  const headers = { Connection: 'close', ...request.headers };
  const socket = connectTo(url);
  socket.write(requestText({ ...request, headers }));
  return parseReply(...(await readToEnd(socket)));
}

/** Everything received until the connection ends, and how it ended. */
export function readToEnd(socket: Socket): Promise<[Buffer, string]> {
  const pieces: Buffer[] = [];
  let ended = 'end';
  socket.on('data', (piece: Buffer) => pieces.push(piece));
  return new Promise((resolve) => {
    socket.on('error', (error: NodeJS.ErrnoException) => {
      ended = error.code ?? error.message;
    });
    socket.on('close', () => resolve([Buffer.concat(pieces), ended]));
  });
}

export function parseReply(bytes: Buffer, ended: string): RawReply {
  const end = bytes.indexOf('\r\n\r\n');
  if (end === -1) return { status: 0, headers: [], body: bytes, ended };
  const [first = '', ...lines] = bytes.subarray(0, end).toString('latin1').split('\r\n');
  const headers = lines.map((line): [string, string] => {
    const colon = line.indexOf(':');
    return [line.slice(0, colon), line.slice(colon + 1).trim()];
  });
  return { status: Number(first.split(' ')[1]), headers, body: bytes.subarray(end + 4), ended };
}

/** A header's value; the name is case-insensitive. */
export function headerOf(reply: RawReply, name: string): string | undefined {
  return reply.headers.find(([known]) => known.toLowerCase() === name.toLowerCase())?.[1];
}

/** The error in a reply: `[status, type, reason]`. */
export function errorOf(reply: RawReply): [number, string | undefined, string | undefined] {
  const { Reason } = JSON.parse(reply.body.toString()) as { Reason?: string };
  return [reply.status, headerOf(reply, 'x-amzn-ErrorType'), Reason];
}
