/**
 * A snapshot's sizes do not change, so all pages of all its lists report the same. A reader that counts blocks of one size
 * in a list of another takes the wrong ones.
 */
import { ColdsnapError } from '../../errors.ts';
import type {
  BlockPage,
  CallOptions,
  ChangedBlockPage,
  EbsDirectApi,
  ListBlocksRequest,
  ListChangedBlocksRequest,
  ListPage,
} from '../api.ts';
import { ApiDecorator } from '../decorator.ts';

type Sizes = Pick<ListPage, 'volumeSizeGiB' | 'blockSize'>;

/** Rejects a page whose sizes are not those of the pages before, of whichever list. */
export function withConstantSizes(api: EbsDirectApi): EbsDirectApi {
  return new ConstantSizes(api);
}

class ConstantSizes extends ApiDecorator {
  /** By snapshot. */
  readonly #sizes = new Map<string, Sizes>();

  override async listSnapshotBlocks(request: ListBlocksRequest, options?: CallOptions): Promise<BlockPage> {
    const { snapshotId } = request;
    const page = await this.inner.listSnapshotBlocks(request, options);
    const { volumeSizeGiB, blockSize } = page;
    const known = this.#sizes.get(snapshotId);
    if (known === undefined) this.#sizes.set(snapshotId, { volumeSizeGiB, blockSize });
    else if (!isSame(known, page)) throw changedSizes('ListSnapshotBlocks', snapshotId, page);
    return page;
  }

  /** Its volume may be that of either snapshot. */
  override async listChangedBlocks(
    request: ListChangedBlocksRequest,
    options?: CallOptions,
  ): Promise<ChangedBlockPage> {
    const { firstSnapshotId, secondSnapshotId } = request;
    const page = await this.inner.listChangedBlocks(request, options);
    const first = this.#sizes.get(firstSnapshotId ?? '');
    const second = this.#sizes.get(secondSnapshotId);
    if (first !== undefined && second !== undefined && !isSame(first, page) && !isSame(second, page))
      throw changedSizes('ListChangedBlocks', secondSnapshotId, page);
    return page;
  }
}

/** Sizes that are no numbers are for the reader of the list to reject. */
function isSame(one: Sizes, other: Sizes): boolean {
  return Object.is(one.volumeSizeGiB, other.volumeSizeGiB) && Object.is(one.blockSize, other.blockSize);
}

function changedSizes(operation: string, snapshotId: string, { requestId }: ListPage): ColdsnapError {
  const message = `${operation} of ${snapshotId} reports another volume size or block size than the list before`;
  return new ColdsnapError('permanent', 'BAD_LIST', message, {
    operation,
    snapshotId,
    requestId,
    hint: 'The list was discarded; check that the endpoint is the EBS service.',
  });
}
