/** Finds out, from the bytes that a connection has moved, whether its exchange has stopped. Costs nothing per byte. */
export class Progress {
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
