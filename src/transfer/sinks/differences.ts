/** Collects where an image differs: the first ranges and the number of all, in memory that does not grow with the volume. */
import { RangeSet } from '../engine/range-set.ts';

/** Ranges that are kept; the others are only counted. */
const MOST_KEPT = 1_000;
/** Ranges found since the last time that complete ones were counted. */
const COUNT_AFTER = 4_096;

export class Differences {
  readonly first: { start: number; end: number }[] = [];
  total = 0;
  readonly #blockSize: number;
  /** Ranges that may still grow: a block next to them may be in progress. */
  readonly #open = new RangeSet();
  /** First blocks of the steps in progress, which begin in ascending order. */
  readonly #inProgress = new Set<number>();
  #found = 0;

  constructor(blockSize: number) {
    this.#blockSize = blockSize;
  }

  /** A step begins. Later ones begin at higher blocks. */
  begin(start: number): void {
    this.#inProgress.add(start);
  }

  /** Blocks `start` … `end - 1` differ. */
  add(start: number, end: number): void {
    this.#open.add(start, end);
    this.#found++;
  }

  /** The step that began at this block is complete. */
  done(start: number): void {
    this.#inProgress.delete(start);
    if (this.#found < COUNT_AFTER) return;
    // The next step may continue the last range.
    const next = this.#open.ranges().at(-1)?.[1] ?? 0;
    this.#count(Math.min(...this.#inProgress, next));
  }

  /** All steps are complete. */
  finish(): void {
    this.#count(Number.POSITIVE_INFINITY);
  }

  /** Counts the ranges that end before block `below`, and forgets them. */
  #count(below: number): void {
    this.#found = 0;
    const closed = this.#open.ranges().filter(([, end]) => end < below);
    const last = closed.at(-1);
    if (last === undefined) return;
    this.#open.remove(0, last[1]);
    this.total += closed.length;
    for (const [start, end] of closed.slice(0, MOST_KEPT - this.first.length))
      this.first.push({ start: start * this.#blockSize, end: end * this.#blockSize });
  }
}
