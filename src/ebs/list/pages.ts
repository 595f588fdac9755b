/** Pages of a list, each checked against the volume and the pages before it. */
import { ColdsnapError } from '../../errors.ts';
import { type Geometry, GIB, MAX_VOLUME_GIB } from '../../geometry.ts';
import type { CallOptions, ListPage, ListPosition } from '../api.ts';
import { checkBlockSize } from '../reply-checks.ts';
import { fetchInOrder } from './unordered.ts';

/** A page whose entries are ascending, unique and inside the volume. */
export interface CheckedPage<E> extends Geometry {
  readonly entries: readonly E[];
}

/** One block of any list: an index and at least one token. */
export interface ListEntry {
  readonly blockIndex: number;
  readonly blockToken?: string;
  readonly firstBlockToken?: string;
  readonly secondBlockToken?: string;
}

export interface ListRange extends CallOptions {
  /** First block index to list. Default 0. */
  readonly from?: number;
  /** List only blocks below this index; 0 for the sizes alone. Default: to the end of the volume. */
  readonly below?: number;
  /** Blocks of the larger of two volumes, where a list names blocks of both. Default: those of the page's volume. */
  readonly blockCount?: number;
  /** Called when the list is not in order, so that all of it has to be in memory. */
  readonly onUnordered?: () => void;
}

interface RawPage<E> extends ListPage {
  readonly entries: readonly E[];
}

/** Empty pages are legal, but an endless run of them is not. AWS sends a handful. */
const MAX_EMPTY_PAGES = 1_000;
/** Fewest and most entries of a page that can be asked for. */
const SHORTEST_PAGE = 100;
const LONGEST_PAGE = 10_000;
/** Characters. The service's tokens have at most 256; emulators may use more. */
const MAX_TOKEN_LENGTH = 4_096;

/**
 * Streams one range of a list, one page read ahead. An expired page token is replaced by the index of the next block.
 * @throws ColdsnapError class `permanent`, code `BAD_LIST` for a list that cannot be true; and what `fetchPage` throws
 */
export async function* checkedPages<E extends ListEntry>(
  operation: string,
  snapshotId: string,
  range: ListRange,
  fetchAnyPage: (position: ListPosition) => Promise<RawPage<E>>,
): AsyncGenerator<CheckedPage<E>, void, undefined> {
  const check = new PageChecker(operation, snapshotId, range);
  const { from = 0, below = Number.POSITIVE_INFINITY, onUnordered } = range;
  const needed = below - from;
  const limit = needed < LONGEST_PAGE ? { maxResults: Math.max(needed, SHORTEST_PAGE) } : {};
  const limited = (position: ListPosition) => fetchAnyPage({ ...position, ...limit });
  const fetchPage = fetchInOrder(limited, {
    sizesOnly: below === 0,
    bad: (problem) => check.bad(problem),
    onUnordered,
  });
  let ahead = fetchPage(check.startPosition());
  // A failure of the page read ahead is thrown when that page is awaited, not before.
  ahead.catch(() => {});
  try {
    for (;;) {
      let page: RawPage<E>;
      try {
        page = await ahead;
      } catch (error) {
        if (!(error instanceof ColdsnapError) || error.class !== 'expired-page-token') throw error;
        // Page tokens expire after 60 minutes, which a slow transfer exceeds. Indexes do not expire.
        page = await fetchPage(check.startPosition());
      }
      const checked = check.page(page);
      const more = page.nextToken !== undefined && !check.finished;
      if (more) {
        ahead = fetchPage({ pageToken: page.nextToken as string });
        ahead.catch(() => {});
      }
      yield checked;
      if (!more) return;
    }
  } finally {
    check.finished = true;
  }
}

/** Keeps the position in a list and rejects pages that cannot follow. */
class PageChecker {
  finished = false;
  readonly #operation: string;
  readonly #snapshotId: string;
  readonly #below: number;
  readonly #blockCount: number | undefined;
  /** Lowest index that the next entry may have. */
  #next: number;
  #volumeSize = 0;
  #blockSize = 0;
  #emptyPages = 0;
  #lastToken: string | undefined;
  /** The request that returned the page being checked. */
  #requestId: string | undefined;

  constructor(operation: string, snapshotId: string, range: ListRange) {
    this.#operation = operation;
    this.#snapshotId = snapshotId;
    this.#next = range.from ?? 0;
    this.#below = range.below ?? Number.POSITIVE_INFINITY;
    this.#blockCount = range.blockCount;
  }

  /** Where to continue without a page token. */
  startPosition(): ListPosition {
    return this.#next === 0 ? {} : { startingBlockIndex: this.#next };
  }

  page<E extends ListEntry>(page: RawPage<E>): CheckedPage<E> {
    this.#requestId = page.requestId;
    this.#checkGeometry(page);
    const blockCount = this.#blockCount ?? this.#volumeSize / this.#blockSize;
    // All of the page is checked before any entry decides that the list has ended.
    for (const entry of page.entries) {
      if (!Number.isInteger(entry.blockIndex) || entry.blockIndex < 0 || entry.blockIndex >= blockCount) {
        throw this.bad(`lists block ${describe(entry.blockIndex)}, but the volume has ${blockCount} blocks`);
      }
      if (entry.blockIndex < this.#next) throw this.bad(`lists block ${entry.blockIndex} out of order`);
      if (!hasTokens(entry)) throw this.bad(`has no usable token for block ${entry.blockIndex}`);
      this.#next = entry.blockIndex + 1;
    }
    this.#checkToken(page);
    const end = page.entries.findIndex((entry) => entry.blockIndex >= this.#below);
    const entries = end < 0 ? page.entries : page.entries.slice(0, end);
    this.finished ||= end >= 0 || this.#next >= Math.min(blockCount, this.#below);
    this.#requestId = undefined;
    return { entries, volumeSize: this.#volumeSize, blockSize: this.#blockSize };
  }

  #checkGeometry(page: ListPage): void {
    const context = {
      operation: this.#operation,
      snapshotId: this.#snapshotId,
      requestId: this.#requestId,
    };
    const blockSize = checkBlockSize(context, page.blockSize);
    const gib = page.volumeSizeGiB;
    if (!Number.isInteger(gib) || gib < 1 || gib > MAX_VOLUME_GIB) {
      throw this.bad(`reports a volume size of ${describe(gib)} GiB`);
    }
    if ((gib * GIB) % blockSize !== 0) {
      throw this.bad(`reports a volume size that is not a multiple of its block size, ${blockSize} bytes`);
    }
    const changed =
      this.#volumeSize !== 0 && (this.#volumeSize !== gib * GIB || this.#blockSize !== blockSize);
    if (changed) throw this.bad('changes the volume size or block size between pages');
    this.#volumeSize = gib * GIB;
    this.#blockSize = blockSize;
  }

  #checkToken(page: RawPage<ListEntry>): void {
    this.#emptyPages = page.entries.length === 0 ? this.#emptyPages + 1 : 0;
    if (page.nextToken === undefined) return;
    if (!isTokenOrAbsent(page.nextToken))
      throw this.bad('has an overlong page token, or one that is no text');
    if (this.#emptyPages > MAX_EMPTY_PAGES) {
      throw this.bad(`has more than ${MAX_EMPTY_PAGES} empty pages in a row`);
    }
    if (this.#emptyPages > 1 && page.nextToken === this.#lastToken) {
      throw this.bad('repeats the same page token');
    }
    this.#lastToken = page.nextToken;
  }

  /** The error for a list that cannot be true. */
  bad(problem: string): ColdsnapError {
    return new ColdsnapError(
      'permanent',
      'BAD_LIST',
      `${this.#operation} of ${this.#snapshotId} ${problem}`,
      {
        operation: this.#operation,
        snapshotId: this.#snapshotId,
        requestId: this.#requestId,
        hint: 'The list was discarded; check that the endpoint is the EBS service.',
      },
    );
  }
}

/** Whether the entry has a token, and none that is empty or overlong. */
function hasTokens({ blockToken, firstBlockToken, secondBlockToken }: ListEntry): boolean {
  const any = blockToken ?? firstBlockToken ?? secondBlockToken;
  const valid =
    isTokenOrAbsent(blockToken) && isTokenOrAbsent(firstBlockToken) && isTokenOrAbsent(secondBlockToken);
  return any !== undefined && valid;
}

/** @param token the service's, of any type */
function isTokenOrAbsent(token: unknown): boolean {
  if (token === undefined) return true;
  return typeof token === 'string' && token !== '' && token.length <= MAX_TOKEN_LENGTH;
}

/** Whatever the service sent in place of a number. */
function describe(value: unknown): string {
  return typeof value === 'number' ? String(value) : `that is no number (${typeof value})`;
}
