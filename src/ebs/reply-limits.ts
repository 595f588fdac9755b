/** Ends requests whose reply never begins, or is slower than any network: the SDK's handler knows only silence. */
import type { IncomingMessage } from 'node:http';
import { abortable, deadline } from '../cancel.ts';
import { runningTime } from '../clock.ts';
import { timeoutError } from './failure.ts';
import { CompletedExchanges, StallDetector } from './fast/progress.ts';

/** A payload that is sent more slowly has stalled. */
const MIN_SENT_BYTES_PER_SECOND = 512;
/** Milliseconds between looks at the progress of a body. */
const MAX_CHECK_MS = 1_000;
/** There is nothing to compare with. */
const noOthers = new CompletedExchanges();

/**
 * Limits the time until the head of a reply, which any number of interim replies (status 1xx) can put off.
 *
 * @param ms for a request without payload
 * @param payloadBytes are given time of their own
 * @throws Error named `TimeoutError`; what `request` fails with
 */
export async function withinHeadLimit<T>(
  { ms, payloadBytes, signal }: { ms: number; payloadBytes: number; signal: AbortSignal | undefined },
  request: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const limitMs = ms + (payloadBytes * 1_000) / MIN_SENT_BYTES_PER_SECOND;
  const expired = timeoutError(`no reply within ${Math.round(limitMs / 1000)} s`);
  const limit = deadline(limitMs, signal, () => expired);
  try {
    // The handler forgets its signal when a reply switches to another protocol.
    return await abortable(request(limit.signal), limit.signal);
  } catch (error) {
    throw limit.signal.reason === expired ? expired : error;
  } finally {
    limit.end();
  }
}

/** Destroys a body that arrives at less than 64 bytes a second for `idleMs`. */
export function limitBody(body: IncomingMessage, idleMs: number): void {
  const { socket } = body;
  const stalls = new StallDetector();
  stalls.restart(runningTime(), socket.bytesRead, 0);
  const check = () => {
    const reason = stalls.check(runningTime(), socket.bytesRead, idleMs, noOthers);
    if (reason !== undefined) body.destroy(timeoutError(reason));
  };
  const timer = setInterval(check, Math.min(idleMs / 8, MAX_CHECK_MS)).unref();
  body.once('close', () => clearInterval(timer));
}
