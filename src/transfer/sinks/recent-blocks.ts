/**
 * The blocks that were written last. After a write to a device has failed they cannot be trusted: a loop device whose
 * backing file system is full reports success for a write that it stored in part (Linux, lo_complete_rq), and only later
 * ones fail.
 */
import { type BlockRange, RangeSet } from '../engine/range-set.ts';

/** Blocks that are remembered. */
const LATEST = 4_096;

export class RecentBlocks {
  /** The oldest first. */
  #latest: number[] = [];
  #synced: readonly BlockRange[] = [];

  add(block: number): void {
    this.#latest.push(block);
    if (this.#latest.length > 2 * LATEST) this.#latest = this.#latest.slice(-LATEST);
  }

  /** These blocks were done before a sync that succeeded. */
  synced(done: readonly BlockRange[]): void {
    this.#synced = done;
  }

  /** The synced blocks without the `count` that were written last. */
  trusted(count: number): RangeSet {
    const latest = new RangeSet(this.#latest.slice(-count).map((block) => [block, block + 1]));
    return new RangeSet(this.#synced.flatMap(([start, end]) => [...latest.missing(start, end)]));
  }
}
