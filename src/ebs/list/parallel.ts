/**
 * Lists several stretches of a volume at once where the list is what everything waits for: on a huge volume of which most
 * blocks are done or missing, pages one after another take minutes at 100 ms each.
 */
import { ColdsnapError } from '../../errors.ts';
import type { CheckedPage, Entry, ListRange } from './pages.ts';

/** Lists one stretch, page by page. */
export type ListStretch<E> = (range: ListRange) => AsyncGenerator<CheckedPage<E>, void, undefined>;

/** The service allows 50 lists a second and account; others may list too. */
const MAX_LISTS_PER_SECOND = 40;
/** Each holds up to two pages of 10,000 blocks in memory, about 1.5 MiB each. */
const MAX_STRETCHES = 4;
/** Pages in a row that the consumer had to wait for before the list counts as the bottleneck. */
const SLOW_PAGES = 3;
/** With fewer pages than this to come, it is not worth it. */
const MIN_PAGES_LEFT = 8;

/** How fast pages come, how fast they are used, and how many blocks of the volume one of them covers. */
class ListTiming {
  #slowPages = 0;
  #pageMs = 0;
  #next: number;

  constructor(from: number) {
    this.#next = from;
  }

  /** Blocks that a page covers, going by the last one; unknown (0) while pages are empty. */
  span = 0;

  page(page: CheckedPage<Entry>, waitedMs: number, usedMs: number): void {
    const last = page.entries.at(-1);
    if (last === undefined) return;
    this.span = last.blockIndex + 1 - this.#next;
    this.#next = last.blockIndex + 1;
    this.#pageMs = waitedMs + usedMs;
    this.#slowPages = waitedMs > usedMs ? this.#slowPages + 1 : 0;
  }

  get next(): number {
    return this.#next;
  }

  /** How many stretches to list at once, given how many blocks are left; 1 while there is no need. */
  stretches(blocksLeft: number): number {
    if (this.#slowPages < SLOW_PAGES || this.span === 0 || blocksLeft / this.span < MIN_PAGES_LEFT) return 1;
    return Math.min(MAX_STRETCHES, Math.floor((MAX_LISTS_PER_SECOND * this.#pageMs) / 1000));
  }
}

/**
 * Streams a list in order, like `list` for the whole range; ahead of its consumer by as many stretches as help.
 */
export async function* listAhead<E extends Entry>(
  list: ListStretch<E>,
  range: ListRange,
): AsyncGenerator<CheckedPage<E>, void, undefined> {
  const pace = new ListTiming(range.from ?? 0);
  const pages = list(range);
  let usedMs = 0;
  for (;;) {
    const asked = performance.now();
    const { value: page, done } = await pages.next();
    if (done) return;
    const waitedMs = performance.now() - asked;
    yield page;
    pace.page(page, waitedMs, usedMs);
    usedMs = performance.now() - asked - waitedMs;
    const below = Math.min(range.below ?? Number.POSITIVE_INFINITY, page.volumeSize / page.blockSize);
    const stretches = pace.stretches(below - pace.next);
    if (stretches > 1) {
      await pages.return();
      yield* listStretches(list, { ...range, from: pace.next, below }, stretches, pace.span, page);
      return;
    }
  }
}

/** How many blocks a stretch should have: as many as the service names in one page, which changes along the volume. */
class StretchSizing {
  /** Of the next stretch. */
  blocks: number;
  /** Entries in the fullest page yet. */
  #most: number;
  #from = 0;
  /** Pages of the stretch that is being read, without empty ones: those say nothing of how many blocks a page covers. */
  #pages = 0;
  #entries = 0;
  /** Blocks that the stretch's first page covers, going by its last entry. */
  #covered = 0;

  constructor(blocks: number, entries: number) {
    this.blocks = blocks;
    this.#most = entries;
  }

  begin(from: number): void {
    this.#from = from;
    this.#pages = 0;
  }

  page(entries: readonly Entry[]): void {
    const last = entries.at(-1);
    if (last === undefined) return;
    this.#most = Math.max(this.#most, entries.length);
    if (++this.#pages > 1) return;
    this.#entries = entries.length;
    this.#covered = last.blockIndex + 1 - this.#from;
  }

  end(): void {
    if (this.#pages > 1) this.blocks = this.#covered;
    else if (this.#pages === 0) this.blocks *= 2;
    else this.blocks = Math.ceil(this.blocks * Math.min(2, this.#most / this.#entries));
  }
}

/** Lists stretches of `span` blocks, a few at a time, and gives their pages in order. */
async function* listStretches<E extends Entry>(
  list: ListStretch<E>,
  range: ListRange & { from: number; below: number },
  count: number,
  span: number,
  like: CheckedPage<E>,
): AsyncGenerator<CheckedPage<E>, void, undefined> {
  const begun: { from: number; pages: ReturnType<ListStretch<E>>; first: ReturnType<typeof firstOf<E>> }[] =
    [];
  const sizing = new StretchSizing(span, like.entries.length);
  let next = range.from;
  const begin = () => {
    while (begun.length < count && next < range.below) {
      const below = Math.min(next + sizing.blocks, range.below);
      const pages = list({ ...range, from: next, below });
      begun.push({ from: next, pages, first: firstOf(pages) });
      next = below;
    }
  };
  try {
    for (begin(); begun.length > 0; begin()) {
      const stretch = begun.shift() as (typeof begun)[number];
      sizing.begin(stretch.from);
      for (let page = await stretch.first; !page.done; page = await stretch.pages.next()) {
        const { volumeSize, blockSize } = page.value;
        if (volumeSize !== like.volumeSize || blockSize !== like.blockSize) throw changedSizes();
        yield page.value;
        sizing.page(page.value.entries);
      }
      sizing.end();
    }
  } finally {
    await Promise.all(
      begun.map(async ({ pages, first }) => first.then(() => pages.return()).catch(() => {})),
    );
  }
}

function firstOf<E>(pages: ReturnType<ListStretch<E>>) {
  const first = pages.next();
  // It can fail while an earlier stretch is being read; it is awaited, and reported, in its turn.
  first.catch(() => {});
  return first;
}

function changedSizes(): ColdsnapError {
  return new ColdsnapError(
    'permanent',
    'BAD_LIST',
    'the list changes the volume or block size from one part to the next',
  );
}
