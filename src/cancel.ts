/** Cancellation by AbortSignal: its error, promises that end with it, and pauses. */
import { afterRunning } from './clock.ts';
import { ColdsnapError } from './errors.ts';

/** The signal's reason as an error: itself if it is a {@link ColdsnapError}, otherwise class `aborted`, code `ABORTED`. */
export function abortedError(signal: AbortSignal): ColdsnapError {
  if (signal.reason instanceof ColdsnapError) return signal.reason;
  return new ColdsnapError('aborted', 'ABORTED', 'the operation was interrupted', { cause: signal.reason });
}

/** @throws ColdsnapError {@link abortedError} once the signal has fired */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw abortedError(signal);
}

/**
 * Settles as `promise` does, or rejects when `signal` fires first. The work behind the promise continues; its later
 * failure is ignored.
 */
export function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = (): void => reject(abortedError(signal));
    signal.addEventListener('abort', stop, { once: true });
    if (signal.aborted) stop();
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop));
  });
}

/** Resolves after `ms` milliseconds in which the process runs, or rejects as soon as `signal` fires. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(abortedError(signal));
    const cancel = afterRunning(ms, done);
    function done(): void {
      signal?.removeEventListener('abort', stop);
      resolve();
    }
    function stop(): void {
      cancel();
      reject(abortedError(signal as AbortSignal));
    }
    signal?.addEventListener('abort', stop, { once: true });
  });
}

/** A signal that fires with `signal`, or with the reason that `expire` gives once `ms` have passed. */
interface Deadline {
  readonly signal: AbortSignal;
  /** To be called when the work has ended. */
  readonly end: () => void;
}

/**
 * Limits work to `ms` milliseconds in which the process runs.
 *
 * @param expire makes the reason of the abort, or returns milliseconds by which the deadline is extended
 */
export function deadline(
  ms: number,
  signal: AbortSignal | undefined,
  expire: () => Error | number,
): Deadline {
  const controller = new AbortController();
  const follow = (): void => controller.abort(signal?.reason);
  const check = (): void => {
    const outcome = expire();
    if (typeof outcome === 'number') cancel = afterRunning(outcome, check);
    else controller.abort(outcome);
  };
  let cancel = afterRunning(ms, check);
  if (signal?.aborted) follow();
  else signal?.addEventListener('abort', follow, { once: true });
  return {
    signal: controller.signal,
    end: () => {
      cancel();
      signal?.removeEventListener('abort', follow);
    },
  };
}
