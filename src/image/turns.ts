/**
 * The in-order gate of a stream: ranges are submitted in any order and run one at a time, from offset 0 without gaps.
 * The first failure rejects every range that waits and every later one: nothing after it can be placed.
 */
interface Turn {
  readonly end: number;
  readonly operation: () => Promise<unknown>;
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: unknown) => void;
}

export class Turns {
  readonly #waiting = new Map<number, Turn>();
  readonly #repeated: (offset: number) => Error;
  #position = 0;
  /** Until every range that can run in order has run. */
  #running: Promise<void> | undefined;
  #failure: { readonly error: unknown } | undefined;

  /** @param repeated makes the error for a range that was submitted before */
  constructor(repeated: (offset: number) => Error) {
    this.#repeated = repeated;
  }

  /** End of the last range that ran: bytes from the start of the stream. */
  get position(): number {
    return this.#position;
  }

  /** Runs `operation` when all lower ranges have run. `length` is above 0. */
  take<T>(offset: number, length: number, operation: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined) return reject(this.#failure.error);
      if (offset < this.#position || this.#waiting.has(offset)) return reject(this.#repeated(offset));
      const turn = { end: offset + length, operation, resolve: resolve as Turn['resolve'], reject };
      this.#waiting.set(offset, turn);
      if (offset === this.#position) this.#running ??= this.#run();
    });
  }

  async #run(): Promise<void> {
    for (
      let turn = this.#waiting.get(this.#position);
      turn !== undefined;
      turn = this.#waiting.get(this.#position)
    ) {
      try {
        const result = await turn.operation();
        this.#waiting.delete(this.#position);
        this.#position = turn.end;
        turn.resolve(result);
      } catch (error) {
        this.fail(error);
        break;
      }
    }
    this.#running = undefined;
  }

  /** Resolves when no range runs. */
  async idle(): Promise<void> {
    await this.#running;
  }

  /** Rejects all ranges; only the first failure counts. A range that runs now must call `throwFailure()` before it continues. */
  fail(error: unknown): void {
    this.#failure ??= { error };
    for (const turn of this.#waiting.values()) turn.reject(this.#failure.error);
    this.#waiting.clear();
  }

  /** Throws the first failure, if there was one. */
  throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }
}
