/** Cancellation by AbortSignal: its error, promises that end with it, and pauses. */
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

/** Resolves after `ms` milliseconds, or rejects as soon as `signal` fires. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(abortedError(signal));
    const timer = setTimeout(done, ms);
    function done(): void {
      signal?.removeEventListener('abort', stop);
      resolve();
    }
    function stop(): void {
      clearTimeout(timer);
      reject(abortedError(signal as AbortSignal));
    }
    signal?.addEventListener('abort', stop, { once: true });
  });
}
