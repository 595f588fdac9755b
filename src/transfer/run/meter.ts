/** Counts what a transfer has done and tells its listener, a few times a second at most. */
import type { Pace } from '../../ebs/pacing.ts';
import type { RetryNotice } from '../../ebs/retry.ts';
import type { TransferListener, TransferProgress } from '../events.ts';

/** Often enough for a display that feels alive, rare enough to cost nothing. */
const PROGRESS_INTERVAL_MS = 200;

export class Meter {
  bytesDone = 0;
  bytesTotal = 0;
  bytesToMove = 0;
  bytesToMoveKnown = false;
  bytesTransferred = 0;
  blocksTransferred = 0;
  bytesSkipped = 0;
  bytesZero = 0;
  bytesResumed = 0;
  retries = 0;
  throttles = 0;
  /** Set once the service is open. */
  pacer: Pace | undefined;
  /** Called when more is to be moved than known before. */
  onPlan: (() => void) | undefined;
  readonly #started = performance.now();
  readonly #listener: TransferListener;
  readonly #onListenerError: (error: unknown) => void;
  #listenerError: { readonly error: unknown } | undefined;
  #beganAt = 0;
  #movedAt = 0;
  #lastEvent = Number.NEGATIVE_INFINITY;

  /** @param onListenerError is called with what the listener throws; it is not called again after that */
  constructor(listener: TransferListener | undefined, onListenerError: (error: unknown) => void = () => {}) {
    this.#listener = listener ?? (() => {});
    this.#onListenerError = onListenerError;
  }

  /** Events come from inside requests and from timers, where an error of the listener would be taken for another. */
  emit: TransferListener = (event) => {
    if (this.#listenerError !== undefined) return;
    try {
      // An async listener returns a promise, perhaps of another realm, whose rejection nothing else would handle.
      const returned: unknown = this.#listener(event);
      if (typeof returned === 'object') Promise.resolve(returned).catch(this.#failListener);
    } catch (error) {
      this.#failListener(error);
    }
  };

  readonly #failListener = (error: unknown): void => {
    this.#listenerError ??= { error };
    this.#onListenerError(error);
  };

  throwListenerError(): void {
    if (this.#listenerError !== undefined) throw this.#listenerError.error;
  }

  /** The size of the volume, and what an earlier run has done. */
  begin(bytesTotal: number, bytesResumed: number): void {
    this.bytesTotal = bytesTotal;
    this.bytesDone = bytesResumed;
    this.bytesResumed = bytesResumed;
    this.#beganAt = performance.now();
    this.#movedAt = this.#beganAt;
  }

  /** More bytes are to be moved than known so far; fewer if negative. */
  plan(bytes: number): void {
    this.bytesToMove = Math.max(this.bytesToMove + bytes, this.bytesTransferred);
    this.onPlan?.();
  }

  /** Everything to be moved is known. */
  planComplete(): void {
    this.bytesToMoveKnown = true;
  }

  /** A block was transferred. */
  transferred(bytes: number): void {
    this.blocksTransferred++;
    this.bytesTransferred += bytes;
    this.bytesToMove = Math.max(this.bytesToMove, this.bytesTransferred);
    this.bytesDone += bytes;
    this.#movedAt = performance.now();
    this.#tick();
  }

  /** A block of zeros was transferred. */
  transferredZeros(bytes: number): void {
    this.bytesZero += bytes;
    this.transferred(bytes);
  }

  /** Zeros needed no transfer. */
  skipped(bytes: number): void {
    this.bytesZero += bytes;
    this.kept(bytes);
  }

  /** A range was right already. */
  kept(bytes: number): void {
    if (bytes === 0) return;
    this.bytesSkipped += bytes;
    this.bytesDone += bytes;
    this.#tick();
  }

  /** Emits a progress event unless one was emitted just now. */
  #tick(): void {
    const now = performance.now();
    if (now - this.#lastEvent < PROGRESS_INTERVAL_MS) return;
    this.report();
  }

  /** Emits a progress event now. */
  report(): void {
    this.#lastEvent = performance.now();
    this.emit({ type: 'progress', ...this.progress() });
  }

  progress(): TransferProgress {
    return {
      bytesDone: this.bytesDone,
      bytesTotal: this.bytesTotal,
      bytesToMove: this.bytesToMove,
      bytesToMoveKnown: this.bytesToMoveKnown,
      bytesTransferred: this.bytesTransferred,
      blocksTransferred: this.blocksTransferred,
      bytesSkipped: this.bytesSkipped,
      bytesZero: this.bytesZero,
      bytesResumed: this.bytesResumed,
      retries: this.retries,
      throttles: this.throttles,
      requestsPerSecond: Math.round(this.pacer?.requestsPerSecond ?? 0),
      requestsInFlight: this.pacer?.inFlightAllowed ?? 0,
      transferMs: this.#movedAt - this.#beganAt,
      elapsedMs: performance.now() - this.#started,
    };
  }

  retry = (notice: RetryNotice): void => {
    this.retries++;
    if (notice.error.class === 'throttle') this.throttles++;
    const { operation, attempt, delayMs, error } = notice;
    const block = notice.block === undefined ? {} : { block: notice.block };
    this.emit({
      type: 'retry',
      operation,
      ...block,
      attempt,
      delayMs,
      code: error.code,
      message: error.message,
    });
  };
}
