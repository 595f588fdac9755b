/** A sample of the blocks of a volume: a part of them, evenly spread, block 0 included. */
import type { BlockRange, BlockSet } from './range-set.ts';

/** The blocks that are not in a sample. */
export class OutsideSample implements BlockSet {
  readonly #percent: number;

  /** @param percent the part in the sample: above 0, at most 100 */
  constructor(percent: number) {
    this.#percent = percent;
  }

  /** Blocks in the sample below `index`. */
  sampledBelow(index: number): number {
    return Math.ceil((index * this.#percent) / 100);
  }

  has(index: number): boolean {
    return this.sampledBelow(index + 1) === this.sampledBelow(index);
  }

  *missing(start: number, end: number): Generator<BlockRange, void, undefined> {
    if (this.#percent === 100) {
      if (start < end) yield [start, end];
      return;
    }
    let from: number | undefined;
    for (let index = start; index < end; index++) {
      if (this.has(index)) continue;
      from ??= index;
      if (index + 1 < end && !this.has(index + 1)) continue;
      yield [from, index + 1];
      from = undefined;
    }
  }
}
