/**
 * Puts lists in order. AWS lists blocks by index, but some implementations of the API (moto) list them as they were put. A page
 * is sorted; where a page begins before the end of the one before, the rest of the list is collected first.
 */
import type { ColdsnapError } from '../../errors.ts';
import { GIB } from '../../geometry.ts';
import type { ListPage, ListPosition } from '../api.ts';

interface Entry {
  readonly blockIndex: number;
}

interface Page<E> extends ListPage {
  readonly entries: readonly E[];
}

type FetchPage<E> = (position: ListPosition) => Promise<Page<E>>;

interface OrderOptions {
  /** No entry is used, so that nothing is fetched to find out their order. */
  readonly sizesOnly: boolean;
  /** Makes the error for a list that cannot be used. */
  readonly bad: (problem: string) => ColdsnapError;
  /** Called once for a list that has to be collected. */
  readonly onUnordered?: (() => void) | undefined;
}

/** About 600 MB as objects; 2 TiB in blocks of 512 KiB. */
const MAX_COLLECTED = 4_000_000;
const MAX_EMPTY_PAGES = 1_000;
const MAX_TOKEN_LENGTH = 4_096;

/**
 * Wraps what fetches the pages of one list. The second page is fetched before the first is returned: an unordered list most
 * likely shows there, before any page was used. If it shows later, the caller finds the list out of order.
 */
export function fetchInOrder<E extends Entry>(
  fetchPage: FetchPage<E>,
  { sizesOnly, bad, onUnordered }: OrderOptions,
): FetchPage<E> {
  let highest = -1;
  let ahead: { readonly token: string; readonly page: Promise<Page<E>> } | undefined;

  const fetch = (position: ListPosition): Promise<Page<E>> => {
    const fetched =
      position.pageToken !== undefined && position.pageToken === ahead?.token ? ahead : undefined;
    ahead = undefined;
    return fetched?.page ?? fetchPage(position);
  };

  const collect = async (first: Page<E>): Promise<Page<E>> => {
    onUnordered?.();
    const entries = [...first.entries];
    let last = first;
    for (let empty = 0; canContinue(last); empty = last.entries.length === 0 ? empty + 1 : 0) {
      if (empty > MAX_EMPTY_PAGES) throw bad(`has more than ${MAX_EMPTY_PAGES} empty pages in a row`);
      last = await fetch({ pageToken: last.nextToken });
      if (last.volumeSizeGiB !== first.volumeSizeGiB || last.blockSize !== first.blockSize)
        throw bad('changes the volume size or block size between pages');
      for (const entry of last.entries) entries.push(entry);
      if (entries.length > MAX_COLLECTED)
        throw bad(`is not in order, and has more than ${MAX_COLLECTED} blocks, too many to sort`);
    }
    return { ...last, entries: entries.sort(byIndex) };
  };

  return async (position) => {
    const page = sorted(await fetch(position));
    if (hasBlocksUpTo(page, highest)) return collect(page);
    highest = page.entries.at(-1)?.blockIndex ?? highest;
    const { pageToken, startingBlockIndex } = position;
    const isFirst = pageToken === undefined && startingBlockIndex === undefined;
    const isLast = highest + 1 >= (page.volumeSizeGiB * GIB) / page.blockSize;
    if (sizesOnly || !isFirst || isLast || !canContinue(page)) return page;
    ahead = { token: page.nextToken, page: fetchPage({ pageToken: page.nextToken }) };
    const next = await ahead.page.catch(() => undefined);
    return next !== undefined && hasBlocksUpTo(next, highest) ? collect(page) : page;
  };
}

function byIndex(one: Entry, other: Entry): number {
  return one.blockIndex - other.blockIndex;
}

function sorted<E extends Entry>(page: Page<E>): Page<E> {
  const ordered = page.entries.every(
    (entry, at) => at === 0 || entry.blockIndex > page.entries[at - 1]!.blockIndex,
  );
  return ordered ? page : { ...page, entries: [...page.entries].sort(byIndex) };
}

function hasBlocksUpTo(page: Page<Entry>, index: number): boolean {
  return page.entries.some(({ blockIndex }) => blockIndex <= index);
}

/** Whether the page has a token that can be used; the caller rejects others. */
function canContinue<E>(page: Page<E>): page is Page<E> & { readonly nextToken: string } {
  const token: unknown = page.nextToken;
  return typeof token === 'string' && token !== '' && token.length <= MAX_TOKEN_LENGTH;
}
