/** Folds lists of blocks into ranges and maps, in memory that does not depend on their length. */
import type { CheckedPage, ListEntry } from '../ebs/list/pages.ts';
import type { Geometry } from '../geometry.ts';
import { badMapCells } from './messages.ts';
import type { ByteRange } from './options.ts';
import type { Run } from './run/run.ts';

/** Adjacent blocks of one kind. */
interface BlockRun<Kind> {
  readonly kind: Kind;
  /** Block indexes; the last block is `end - 1`. */
  readonly start: number;
  readonly end: number;
}

/** Time between reports of how far a list was read. */
const REPORT_INTERVAL_MS = 200;

/**
 * Waits for each page of a list under the watchdog's eyes.
 * @param onFirst gets the first page before anything of it is used
 */
export async function* watchedPages<E extends ListEntry>(
  run: Run,
  snapshotId: string,
  pages: AsyncGenerator<CheckedPage<E>, void, undefined>,
  onFirst: (page: CheckedPage<E>) => void,
): AsyncGenerator<CheckedPage<E>, void, undefined> {
  let isFirst = true;
  try {
    for (;;) {
      const { value: page } = await run.watch(`the list of ${snapshotId}`, 'service', () => pages.next());
      if (page === undefined) return;
      if (isFirst) onFirst(page);
      isFirst = false;
      yield page;
    }
  } finally {
    await pages.return();
  }
}

/** Merges adjacent blocks of one kind, and reports how far the list is. */
export async function* blockRuns<E extends ListEntry, Kind>(
  run: Run,
  pages: AsyncIterable<CheckedPage<E>>,
  kindOf: (entry: E) => Kind,
): AsyncGenerator<BlockRun<Kind>, void, undefined> {
  let last: { kind: Kind; start: number; end: number } | undefined;
  let reportedAt = Number.NEGATIVE_INFINITY;
  for await (const { entries, blockSize, volumeSize } of pages) {
    for (const entry of entries) {
      const kind = kindOf(entry);
      if (last !== undefined && last.end === entry.blockIndex && last.kind === kind) {
        last.end++;
        continue;
      }
      if (last !== undefined) yield last;
      last = { kind, start: entry.blockIndex, end: entry.blockIndex + 1 };
    }
    if (performance.now() - reportedAt < REPORT_INTERVAL_MS) continue;
    reportedAt = performance.now();
    run.phase('listing', { bytesDone: (last?.end ?? 0) * blockSize, bytesTotal: volumeSize });
  }
  if (last !== undefined) yield last;
}

export function byteRange(
  { start, end }: { readonly start: number; readonly end: number },
  { blockSize, volumeSize }: Geometry,
): ByteRange {
  return { start: start * blockSize, end: Math.min(end * blockSize, volumeSize) };
}

/** @throws ColdsnapError class `usage` unless it is a whole number from 1, or nothing */
export function checkMapCells(cells: number | undefined): void {
  if (cells === undefined || (Number.isSafeInteger(cells) && cells >= 1 && cells <= MAX_CELLS)) return;
  throw badMapCells(cells, MAX_CELLS);
}

const MAX_CELLS = 65_536;

/** Counts the blocks in each of several equal parts of a volume. */
export class BlockMap {
  readonly #blockCount: number;
  readonly #counts: number[];

  /** @param cells parts; no more than there are blocks */
  constructor(cells: number, { volumeSize, blockSize }: Geometry) {
    this.#blockCount = volumeSize / blockSize;
    this.#counts = new Array<number>(Math.min(cells, this.#blockCount)).fill(0);
  }

  /** Block at which a part begins. */
  #startOf(cell: number): number {
    return Math.ceil((cell * this.#blockCount) / this.#counts.length);
  }

  add({ start, end }: { readonly start: number; readonly end: number }): void {
    let cell = Math.floor((start * this.#counts.length) / this.#blockCount);
    for (let from = start; from < end; cell++) {
      const to = Math.min(end, this.#startOf(cell + 1));
      this.#counts[cell]! += to - from;
      from = to;
    }
  }

  /** The share of each part that was added, 0 … 1. */
  shares(): number[] {
    return this.#counts.map((count, cell) => count / (this.#startOf(cell + 1) - this.#startOf(cell)));
  }
}
