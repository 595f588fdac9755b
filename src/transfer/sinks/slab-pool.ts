/** A fixed number of buffers, made on demand and used one user at a time. */
import { allocateSlab } from '../../native/index.ts';

export class SlabPool {
  readonly #bytes: number;
  /** Buffers that may still be made. */
  #toMake: number;
  readonly #free: ArrayBuffer[] = [];
  readonly #waiting: ((slab: ArrayBuffer) => void)[] = [];

  /** @param bytes of each buffer */
  constructor(count: number, bytes: number) {
    this.#toMake = count;
    this.#bytes = bytes;
  }

  /** Calls `operation` with a buffer, which is free again when it settles. */
  async use<T>(operation: (slab: ArrayBuffer) => Promise<T>): Promise<T> {
    const slab = await this.#take();
    try {
      return await operation(slab);
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free.push(slab);
      else next(slab);
    }
  }

  #take(): ArrayBuffer | Promise<ArrayBuffer> {
    const slab = this.#free.pop();
    if (slab !== undefined) return slab;
    if (this.#toMake > 0) {
      this.#toMake--;
      return allocateSlab(this.#bytes);
    }
    return new Promise((resolve) => this.#waiting.push(resolve));
  }
}
