/**
 * Lists several segments of a volume at once when the list is the bottleneck. On a huge volume with few blocks to
 * transfer, pages one after another take minutes, at 100 ms each.
 */
import { ColdsnapError } from '../../errors.ts';
import type { CheckedPage, ListEntry, ListRange } from './pages.ts';

/** Lists one segment, page by page. */
type ListSegment<E> = (range: ListRange) => AsyncGenerator<CheckedPage<E>, void, undefined>;

/** The service allows 50 list requests a second per account; other clients may list too. */
const MAX_LISTS_PER_SECOND = 40;
/** Each segment holds up to two pages of 10,000 blocks in memory, about 1.5 MiB each. */
const MAX_SEGMENTS = 4;
/** Consecutive pages that the consumer waits for before the list counts as the bottleneck. */
const SLOW_PAGES = 3;
/** With fewer pages to come, segments are not worth their requests. */
const MIN_PAGES_AHEAD = 8;

/** Measures how fast pages arrive, how fast they are used, and how many blocks of the volume a page covers. */
class ListTiming {
  /** First index after the last page. */
  next: number;
  /** Blocks of the volume that the last page covers; 0 while pages are empty. */
  span = 0;
  #slowPages = 0;
  #pageMs = 0;

  constructor(from: number) {
    this.next = from;
  }

  record(page: CheckedPage<ListEntry>, waitedMs: number, usedMs: number): void {
    const last = page.entries.at(-1);
    if (last === undefined) return;
    this.span = last.blockIndex + 1 - this.next;
    this.next = last.blockIndex + 1;
    this.#pageMs = waitedMs + usedMs;
    this.#slowPages = waitedMs > usedMs ? this.#slowPages + 1 : 0;
  }

  /** How many segments to list at once when the list ends below this index; 1 while the list is no bottleneck. */
  segments(below: number): number {
    if (this.#slowPages < SLOW_PAGES || this.span === 0) return 1;
    if ((below - this.next) / this.span < MIN_PAGES_AHEAD) return 1;
    return Math.min(MAX_SEGMENTS, Math.floor((MAX_LISTS_PER_SECOND * this.#pageMs) / 1000));
  }
}

/** Streams the pages of a range in order, as `list` does; switches to several segments at once when that helps. */
export async function* listInParallel<E extends ListEntry>(
  list: ListSegment<E>,
  range: ListRange,
): AsyncGenerator<CheckedPage<E>, void, undefined> {
  const timing = new ListTiming(range.from ?? 0);
  const pages = list(range);
  let usedMs = 0;
  for (;;) {
    const requested = performance.now();
    const { value: page, done } = await pages.next();
    if (done) return;
    const waitedMs = performance.now() - requested;
    yield page;
    timing.record(page, waitedMs, usedMs);
    usedMs = performance.now() - requested - waitedMs;
    const below = Math.min(range.below ?? Number.POSITIVE_INFINITY, page.volumeSize / page.blockSize);
    const segments = timing.segments(below);
    if (segments > 1) {
      await pages.return();
      yield* listSegments(list, { ...range, from: timing.next, below }, segments, timing.span, page);
      return;
    }
  }
}

/** Adapts the size of segments so that one fits in a page; blocks per page change along the volume. */
class SegmentSizing {
  /** Blocks of the next segment. */
  blocks: number;
  /** Entries in the fullest page so far. */
  #mostEntries: number;
  #from = 0;
  /** Pages of the current segment that are not empty: empty ones do not tell how many blocks a page covers. */
  #pages = 0;
  #entries = 0;
  /** Blocks that the segment's first page covers. */
  #covered = 0;

  constructor(blocks: number, entries: number) {
    this.blocks = blocks;
    this.#mostEntries = entries;
  }

  startSegment(from: number): void {
    this.#from = from;
    this.#pages = 0;
  }

  recordPage(entries: readonly ListEntry[]): void {
    const last = entries.at(-1);
    if (last === undefined) return;
    this.#mostEntries = Math.max(this.#mostEntries, entries.length);
    if (++this.#pages > 1) return;
    this.#entries = entries.length;
    this.#covered = last.blockIndex + 1 - this.#from;
  }

  endSegment(): void {
    if (this.#pages > 1) this.blocks = this.#covered;
    else if (this.#pages === 0) this.blocks *= 2;
    else this.blocks = Math.ceil(this.blocks * Math.min(2, this.#mostEntries / this.#entries));
  }
}

/** A list whose first page is requested already. A failure is thrown when its turn comes, not while another is being read. */
export class StartedList<T> implements AsyncIterable<T> {
  readonly #pages: AsyncGenerator<T, void, undefined>;
  readonly #first: Promise<IteratorResult<T, void>>;

  constructor(pages: AsyncGenerator<T, void, undefined>) {
    this.#pages = pages;
    this.#first = pages.next();
    this.#first.catch(() => {});
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, undefined> {
    for (let page = await this.#first; !page.done; page = await this.#pages.next()) yield page.value;
  }

  /** Ends the list, once the page that is requested has arrived. */
  async close(): Promise<void> {
    await this.#pages.return();
  }
}

interface Segment<E> {
  readonly from: number;
  readonly pages: StartedList<CheckedPage<E>>;
}

/**
 * Lists `count` segments at a time and yields their pages in order.
 * @param span blocks of the first segment
 * @param before a page of the list so far, whose sizes the segments must repeat
 */
async function* listSegments<E extends ListEntry>(
  list: ListSegment<E>,
  range: ListRange & { from: number; below: number },
  count: number,
  span: number,
  before: CheckedPage<E>,
): AsyncGenerator<CheckedPage<E>, void, undefined> {
  const started: Segment<E>[] = [];
  const sizing = new SegmentSizing(span, before.entries.length);
  let next = range.from;
  const start = () => {
    while (started.length < count && next < range.below) {
      const below = Math.min(next + sizing.blocks, range.below);
      started.push({ from: next, pages: new StartedList(list({ ...range, from: next, below })) });
      next = below;
    }
  };
  try {
    for (start(); started.length > 0; start()) {
      const segment = started.shift() as Segment<E>;
      sizing.startSegment(segment.from);
      for await (const page of segment.pages) {
        const { volumeSize, blockSize } = page;
        if (volumeSize !== before.volumeSize || blockSize !== before.blockSize) throw changedSizes();
        yield page;
        sizing.recordPage(page.entries);
      }
      sizing.endSegment();
    }
  } finally {
    await Promise.all(started.map(({ pages }) => pages.close()));
  }
}

function changedSizes(): ColdsnapError {
  const message = 'the list changes the volume size or block size between segments';
  return new ColdsnapError('permanent', 'BAD_LIST', message);
}
