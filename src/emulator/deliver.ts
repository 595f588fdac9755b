/** Sends a reply, as it should be or with the faults of transport. */

import type { ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Reply } from './reply.ts';

const RESET_DELAY_MS = 20;

/** How a reply is sent, where that differs from normal. */
export interface Delivery {
  chunked?: boolean;
  /** Close the connection afterwards. */
  close?: 'announced' | 'silent';
  bytesPerSecond?: number;
  /** End the connection after so many bytes of the body. */
  cut?: { after: number; reset: boolean };
  /** Pause after so many bytes of the body: for so long, or for ever. */
  pause?: { after: number; ms: number | undefined };
}

/** Ends a connection at once, with a reset if wanted (and possible: TLS has none of its own). */
export function endConnection(response: ServerResponse, reset: boolean): void {
  const { socket } = response;
  if (socket === null) return;
  if (reset && socket.constructor === Socket) socket.resetAndDestroy();
  else socket.destroy();
}

/** Sends headers and body; resolves when there is nothing more to do. Rejects when `signal` fires. */
export async function deliver(
  response: ServerResponse,
  reply: Reply,
  requestId: string,
  delivery: Delivery,
  signal: AbortSignal,
): Promise<void> {
  const headers: Record<string, string | string[]> = { ...reply.headers, 'x-amzn-RequestId': requestId };
  if (delivery.chunked !== true) headers['Content-Length'] = String(reply.body.length);
  if (delivery.close === 'announced') headers.Connection = 'close';
  response.writeHead(reply.status, headers);
  const { cut, pause, bytesPerSecond } = delivery;
  if (delivery.close === 'silent') {
    const { socket } = response; // by the time of 'finish' the response has let go of it
    response.once('finish', () => socket?.destroySoon());
  }
  if (cut === undefined && pause === undefined && bytesPerSecond === undefined) {
    response.end(reply.body);
    return;
  }
  const body = cut === undefined ? reply.body : reply.body.subarray(0, cut.after);
  response.flushHeaders();
  const pauseAt = pause === undefined ? body.length : Math.min(pause.after, body.length);
  await send(response, body.subarray(0, pauseAt), bytesPerSecond, signal);
  if (pause !== undefined) {
    if (pause.ms === undefined) return;
    await sleep(pause.ms, undefined, { signal });
    await send(response, body.subarray(pauseAt), bytesPerSecond, signal);
  }
  if (cut === undefined) {
    response.end();
    return;
  }
  // A reset overtakes bytes that the client has not read yet, and these are to arrive.
  if (cut.reset) await sleep(RESET_DELAY_MS, undefined, { signal });
  endConnection(response, cut.reset);
}

/** Resolves when the bytes are with the kernel. */
async function send(
  response: ServerResponse,
  bytes: Buffer,
  bytesPerSecond: number | undefined,
  signal: AbortSignal,
): Promise<void> {
  const tick = 20; // ms between pieces of a slow drip
  const step =
    bytesPerSecond === undefined ? bytes.length : Math.max(1, Math.round((bytesPerSecond * tick) / 1000));
  const pause = bytesPerSecond === undefined ? 0 : (step / bytesPerSecond) * 1000;
  for (let at = 0; at < bytes.length && !response.destroyed; at += step) {
    await new Promise<void>((resolve) => {
      response.once('close', resolve);
      response.write(bytes.subarray(at, at + step), () => {
        response.off('close', resolve);
        resolve();
      });
    });
    if (pause > 0) await sleep(pause, undefined, { signal });
  }
}
