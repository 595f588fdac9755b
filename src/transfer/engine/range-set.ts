/** A set of block indexes as sorted, disjoint, merged ranges; small as long as what it holds is mostly contiguous. */

/** Half-open: `start` is in it, `end` is not. */
export type BlockRange = readonly [start: number, end: number];

/** A set of blocks that a plan skips. */
export interface BlockSet {
  has(index: number): boolean;
  /** The parts of `start` … `end - 1` that are not in the set, ascending. */
  missing(start: number, end: number): Iterable<BlockRange>;
}

export class RangeSet implements BlockSet {
  #ranges: [number, number][] = [];
  #size = 0;

  /** @param ranges in any order, overlapping or not */
  constructor(ranges: Iterable<BlockRange> = []) {
    for (const [start, end] of ranges) this.add(start, end);
  }

  /** Adds the indexes `start` … `end - 1`. */
  add(start: number, end: number = start + 1): void {
    if (end <= start) return;
    const first = this.#firstEndingAtOrAfter(start);
    let last = first;
    let mergedStart = start;
    let mergedEnd = end;
    let covered = 0;
    for (; last < this.#ranges.length; last++) {
      const range = this.#ranges[last] as [number, number];
      if (range[0] > end) break;
      mergedStart = Math.min(mergedStart, range[0]);
      mergedEnd = Math.max(mergedEnd, range[1]);
      covered += range[1] - range[0];
    }
    this.#ranges.splice(first, last - first, [mergedStart, mergedEnd]);
    this.#size += mergedEnd - mergedStart - covered;
  }

  /** Removes the indexes `start` … `end - 1`. */
  remove(start: number, end: number): void {
    const kept = this.#ranges.flatMap(([from, to]): [number, number][] => [
      [from, Math.min(to, start)],
      [Math.max(from, end), to],
    ]);
    this.#ranges = kept.filter(([from, to]) => from < to);
    this.#size = this.#ranges.reduce((size, [from, to]) => size + to - from, 0);
  }

  has(index: number): boolean {
    const range = this.#ranges[this.#firstEndingAtOrAfter(index + 1)];
    return range !== undefined && range[0] <= index;
  }

  /** The parts of `start` … `end - 1` that are not in the set, ascending. */
  *missing(start: number, end: number): Generator<BlockRange, void, undefined> {
    let from = start;
    for (let at = this.#firstEndingAtOrAfter(start + 1); at < this.#ranges.length; at++) {
      const range = this.#ranges[at] as [number, number];
      if (range[0] >= end) break;
      if (range[0] > from) yield [from, range[0]];
      from = Math.max(from, range[1]);
    }
    if (from < end) yield [from, end];
  }

  /** The parts of `start` … `end - 1` that are in the set, ascending. */
  *within(start: number, end: number): Generator<BlockRange, void, undefined> {
    for (let at = this.#firstEndingAtOrAfter(start + 1); at < this.#ranges.length; at++) {
      const [from, to] = this.#ranges[at] as [number, number];
      if (from >= end) break;
      yield [Math.max(from, start), Math.min(to, end)];
    }
  }

  /** How many indexes are in the set. */
  get size(): number {
    return this.#size;
  }

  ranges(): BlockRange[] {
    return this.#ranges.map(([start, end]) => [start, end] as const);
  }

  /** Position of the first range whose end is at or after `index` (so that it touches or follows it). */
  #firstEndingAtOrAfter(index: number): number {
    let low = 0;
    let high = this.#ranges.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#ranges[middle] as [number, number])[1] >= index) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}

/** The blocks that are in each of some sets, which may change meanwhile. */
export function intersection(sets: () => Iterable<BlockSet>): BlockSet {
  return {
    has(index) {
      for (const set of sets()) if (!set.has(index)) return false;
      return true;
    },
    missing(start, end) {
      const missing = new RangeSet();
      for (const set of sets()) for (const range of set.missing(start, end)) missing.add(...range);
      return missing.ranges();
    },
  };
}

/** The blocks that are not in `wanted`, or are in `done`. */
export function outside(wanted: RangeSet, done: BlockSet): BlockSet {
  return {
    has: (index) => !wanted.has(index) || done.has(index),
    *missing(start, end) {
      for (const [from, to] of wanted.within(start, end)) yield* done.missing(from, to);
    },
  };
}

/** How many of the blocks `0` … `count - 1` are in the set. */
export function sizeWithin(set: BlockSet, count: number): number {
  let size = count;
  for (const [start, end] of set.missing(0, count)) size -= end - start;
  return size;
}
