/** Sends a reply, with transport faults where the plan asks for them. */

import type { ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Reply } from './reply.ts';

const RESET_DELAY_MS = 20;

/** Deviations from sending a reply normally. */
export interface Delivery {
  chunked?: boolean;
  /** Close the connection after the reply, with or without a `Connection: close` header. */
  close?: 'announced' | 'silent';
  bytesPerSecond?: number;
  /** End the connection after this many bytes of the body. */
  cut?: { after: number; reset: boolean };
  /** Pause after this many bytes of the body; indefinitely if `ms` is undefined. */
  pause?: { after: number; ms: number | undefined };
}

/** Closes a connection immediately. `reset` sends an RST where possible; a TLS socket is closed. */
export function endConnection(response: ServerResponse, reset: boolean): void {
  const { socket } = response;
  if (socket === null) return;
  if (reset && socket.constructor === Socket) socket.resetAndDestroy();
  else socket.destroy();
}

/** Sends headers and body; resolves when the reply is complete. Rejects when `signal` fires. */
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
    const { socket } = response; // 'finish' comes after the response has detached it
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
  // A reset discards bytes that the client has not read yet, so give it time to read them.
  if (cut.reset) await sleep(RESET_DELAY_MS, undefined, { signal });
  endConnection(response, cut.reset);
}

/** Resolves when the kernel has accepted the bytes, or the connection is lost. */
async function send(
  response: ServerResponse,
  bytes: Buffer,
  bytesPerSecond: number | undefined,
  signal: AbortSignal,
): Promise<void> {
  const tick = 20; // ms between writes when bytesPerSecond is set
  const step =
    bytesPerSecond === undefined ? bytes.length : Math.max(1, Math.round((bytesPerSecond * tick) / 1000));
  const pause = bytesPerSecond === undefined ? 0 : (step / bytesPerSecond) * 1000;
  // Not the response, which has neither socket nor end while it waits behind another reply on the connection.
  const { socket } = response.req;
  for (let at = 0; at < bytes.length && !socket.destroyed; at += step) {
    await new Promise<void>((resolve) => {
      socket.once('close', resolve);
      response.write(bytes.subarray(at, at + step), () => {
        socket.off('close', resolve);
        resolve();
      });
    });
    if (pause > 0) await sleep(pause, undefined, { signal });
  }
}
