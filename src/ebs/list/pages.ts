/**
 * A snapshot's block list as a stream of checked pages, one page read ahead, never all in memory: as objects a list
 * costs about 149 bytes a block, which at 16 TiB is more than Node's heap.
 */
import { ColdsnapError } from '../../errors.ts';
import { GIB, MAX_VOLUME_GIB } from '../../geometry.ts';
import type { CallOptions, EbsDirectApi, ListPage, ListPosition } from '../api.ts';
import { checkedBlockSize } from '../sdk-api.ts';
import { listAhead } from './parallel.ts';

/** A page whose entries are known to be ascending, unique and within the volume. */
export interface CheckedPage<Entry> {
  readonly entries: readonly Entry[];
  /** Bytes. */
  readonly volumeSize: number;
  /** Bytes. */
  readonly blockSize: number;
}

/** Empty pages are legal, an endless run of them is not; AWS's own are a handful. */
const MAX_EMPTY_PAGES = 1_000;
/** The service's tokens have at most 256 characters; some room for emulators. */
const MAX_TOKEN_LENGTH = 4_096;

/** One block as any list has it: an index, and tokens that are at most as long as tokens are. */
export interface Entry {
  readonly blockIndex: number;
  readonly blockToken?: string;
  readonly firstBlockToken?: string;
  readonly secondBlockToken?: string;
}

interface RawPage<E> extends ListPage {
  readonly entries: readonly E[];
}

export interface ListRange extends CallOptions {
  /** First block index to list; 0 unless given. */
  readonly from?: number;
  /** List only blocks below this index; to the end unless given. */
  readonly below?: number;
}

/**
 * Streams the blocks that a snapshot holds, from several parts of it at once where that is faster.
 *
 * @throws ColdsnapError code `BAD_LIST` for a list that cannot be true (index outside the volume, descending,
 *   sizes that change, pages without end)
 */
export function listBlocks(
  api: Pick<EbsDirectApi, 'listSnapshotBlocks'>,
  snapshotId: string,
  range: ListRange = {},
) {
  const list = (part: ListRange) =>
    checkedPages('ListSnapshotBlocks', snapshotId, part, async (position) => {
      const page = await api.listSnapshotBlocks({ snapshotId, ...position }, range);
      return { ...page, entries: page.blocks };
    });
  return listAhead(list, range);
}

/** Streams the blocks that differ between two snapshots of one lineage. Same checks as {@link listBlocks}. */
export function listChangedBlocks(
  api: EbsDirectApi,
  firstSnapshotId: string,
  secondSnapshotId: string,
  range: ListRange = {},
) {
  return checkedPages('ListChangedBlocks', secondSnapshotId, range, async (position) => {
    const page = await api.listChangedBlocks({ firstSnapshotId, secondSnapshotId, ...position }, range);
    return { ...page, entries: page.changedBlocks };
  });
}

async function* checkedPages<E extends Entry>(
  operation: string,
  snapshotId: string,
  range: ListRange,
  fetchPage: (position: ListPosition) => Promise<RawPage<E>>,
): AsyncGenerator<CheckedPage<E>, void, undefined> {
  const check = new PageChecker(operation, snapshotId, range);
  let ahead = fetchPage(check.startPosition());
  // A page read ahead can fail while nobody is waiting for it; it is awaited, and reported, in its turn.
  ahead.catch(() => {});
  try {
    for (;;) {
      let page: RawPage<E>;
      try {
        page = await ahead;
      } catch (error) {
        if (!(error instanceof ColdsnapError) || error.class !== 'expired-page-token') throw error;
        // Page tokens live 60 minutes; a slow transfer outlives them. Indexes do not expire.
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

/** Remembers where the list is, and refuses what cannot follow. */
class PageChecker {
  finished = false;
  readonly #operation: string;
  readonly #snapshotId: string;
  readonly #below: number;
  /** Index that the next entry must at least have. */
  #next: number;
  #volumeSize = 0;
  #blockSize = 0;
  #emptyPages = 0;
  #lastToken: string | undefined;

  constructor(operation: string, snapshotId: string, range: ListRange) {
    this.#operation = operation;
    this.#snapshotId = snapshotId;
    this.#next = range.from ?? 0;
    this.#below = range.below ?? Number.POSITIVE_INFINITY;
  }

  startPosition(): ListPosition {
    return this.#next === 0 ? {} : { startingBlockIndex: this.#next };
  }

  page<E extends Entry>(page: RawPage<E>): CheckedPage<E> {
    this.#checkGeometry(page);
    const blockCount = this.#volumeSize / this.#blockSize;
    let entries = page.entries;
    for (const [at, entry] of page.entries.entries()) {
      if (entry.blockIndex >= this.#below) {
        entries = page.entries.slice(0, at);
        this.finished = true;
        break;
      }
      if (!Number.isInteger(entry.blockIndex) || entry.blockIndex < 0 || entry.blockIndex >= blockCount) {
        throw this.#bad(`lists block ${entry.blockIndex} of a volume that has ${blockCount}`);
      }
      if (entry.blockIndex < this.#next) throw this.#bad(`lists block ${entry.blockIndex} out of order`);
      if (!hasTokens(entry)) throw this.#bad(`has no usable token for block ${entry.blockIndex}`);
      this.#next = entry.blockIndex + 1;
    }
    if (this.#next >= Math.min(blockCount, this.#below)) this.finished = true;
    this.#checkToken(page);
    return { entries, volumeSize: this.#volumeSize, blockSize: this.#blockSize };
  }

  #checkGeometry(page: ListPage): void {
    const context = { operation: this.#operation, snapshotId: this.#snapshotId };
    const blockSize = checkedBlockSize(page.blockSize, context);
    const gib = page.volumeSizeGiB;
    if (!Number.isInteger(gib) || gib < 1 || gib > MAX_VOLUME_GIB)
      throw this.#bad(`says that the volume has ${gib} GiB`);
    if ((gib * GIB) % blockSize !== 0)
      throw this.#bad(`has blocks of ${blockSize} bytes, which do not divide the volume`);
    const changed =
      this.#volumeSize !== 0 && (this.#volumeSize !== gib * GIB || this.#blockSize !== blockSize);
    if (changed) throw this.#bad('changes the volume or block size from one page to the next');
    this.#volumeSize = gib * GIB;
    this.#blockSize = blockSize;
  }

  #checkToken(page: RawPage<Entry>): void {
    this.#emptyPages = page.entries.length === 0 ? this.#emptyPages + 1 : 0;
    if (page.nextToken === undefined) return;
    if (page.nextToken.length > MAX_TOKEN_LENGTH) throw this.#bad('has an overlong page token');
    if (this.#emptyPages > MAX_EMPTY_PAGES)
      throw this.#bad(`has more than ${MAX_EMPTY_PAGES} empty pages in a row`);
    if (this.#emptyPages > 1 && page.nextToken === this.#lastToken) throw this.#bad('goes round in circles');
    this.#lastToken = page.nextToken;
  }

  #bad(what: string): ColdsnapError {
    return new ColdsnapError('permanent', 'BAD_LIST', `${this.#operation} of ${this.#snapshotId} ${what}`, {
      operation: this.#operation,
      snapshotId: this.#snapshotId,
      hint: 'Nothing from this list is used; check that the endpoint is the EBS service.',
    });
  }
}

/** Whether there is a token, and none that is empty or overlong. */
function hasTokens({ blockToken, firstBlockToken, secondBlockToken }: Entry): boolean {
  const some = blockToken ?? firstBlockToken ?? secondBlockToken;
  const sound =
    isTokenOrAbsent(blockToken) && isTokenOrAbsent(firstBlockToken) && isTokenOrAbsent(secondBlockToken);
  return some !== undefined && sound;
}

function isTokenOrAbsent(token: string | undefined): boolean {
  return token === undefined || (token !== '' && token.length <= MAX_TOKEN_LENGTH);
}
