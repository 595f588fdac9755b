/** Finds out, from the bytes that a connection has moved, whether its exchange has stopped. Costs nothing per byte. */

/** Slower than this is no slow network but a stalled connection. */
const MIN_BYTES_PER_SECOND = 64;
/** The same, while other connections complete blocks. */
const MIN_BYTES_PER_SECOND_BESIDE_OTHERS = 512;
/** Time after which a connection is closed that has stopped while others complete blocks. */
const STALL_MS = 10_000;
/** The same in multiples of the slowest exchange: a service with too much work keeps some waiting longer than others. */
const STALL_EXCHANGES = 3;

/** The exchanges that the connections of a pool have completed. */
export class CompletedExchanges {
  count = 0;
  /** Milliseconds that the slowest of the last few hundred took. */
  slowestMs = 0;

  add(ms: number): void {
    this.count++;
    this.slowestMs = Math.max(ms, 0.99 * this.slowestMs);
  }
}

/** The progress of one connection, seen alone and beside the others. */
export class StallDetector {
  readonly #idle = new Progress(MIN_BYTES_PER_SECOND);
  readonly #behind = new Progress(MIN_BYTES_PER_SECOND_BESIDE_OTHERS);

  /** An exchange begins. */
  restart(now: number, moved: number, completed: number): void {
    this.#idle.restart(now, moved, 0);
    this.#behind.restart(now, moved, completed);
  }

  /**
   * Says why the connection should be closed: no progress for `idleMs`, or for 10 s in which other exchanges completed, if
   * these are not slow.
   * @param now {@link runningTime}
   * @param moved bytes read and written so far
   * @param others the exchanges that all connections have completed so far
   */
  check(now: number, moved: number, idleMs: number, others: CompletedExchanges): string | undefined {
    if (this.#idle.stoppedFor(now, moved, idleMs)) return `no data sent or received for ${idleMs / 1000} s`;
    const ms = Math.max(STALL_MS, STALL_EXCHANGES * others.slowestMs);
    if (this.#behind.stoppedBeside(now, moved, ms, others.count))
      return `no data sent or received for ${Math.round(ms / 1000)} s, unlike on other connections`;
    return undefined;
  }
}

class Progress {
  readonly #bytesPerSecond: number;
  /** Bytes moved when there was progress last. */
  #moved = 0;
  #at = 0;
  #completed = 0;
  /** When it was seen that another exchange had completed since. */
  #behindSince: number | undefined;

  /** @param bytesPerSecond less than this is no progress */
  constructor(bytesPerSecond: number) {
    this.#bytesPerSecond = bytesPerSecond;
  }

  /** An exchange begins, or has advanced. */
  restart(now: number, moved: number, completed: number): void {
    this.#moved = moved;
    this.#at = now;
    this.#completed = completed;
    this.#behindSince = undefined;
  }

  /** Whether there has been no progress for `ms`. */
  stoppedFor(now: number, moved: number, ms: number): boolean {
    return !this.#advanced(now, moved, ms, 0) && now - this.#at >= ms;
  }

  /**
   * Whether there has been no progress for `ms` since another exchange completed.
   * @param completed exchanges that have completed on all connections
   */
  stoppedBeside(now: number, moved: number, ms: number, completed: number): boolean {
    if (this.#advanced(now, moved, ms, completed)) return false;
    if (completed > this.#completed) this.#behindSince ??= now;
    return this.#behindSince !== undefined && now - this.#behindSince >= ms;
  }

  #advanced(now: number, moved: number, ms: number, completed: number): boolean {
    const least = Math.ceil((this.#bytesPerSecond * ms) / 1000);
    if (moved - this.#moved < least) return false;
    this.restart(now, moved, completed);
    return true;
  }
}
