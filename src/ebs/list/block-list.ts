/**
 * A snapshot's block list as a stream of checked pages. Never all of it in memory: as objects, a list takes about 149
 * bytes per block, which for 16 TiB is more than Node's heap.
 */
import type { EbsDirectApi } from '../api.ts';
import { checkedPages, type ListRange } from './pages.ts';
import { listInParallel } from './parallel.ts';

/**
 * Streams the blocks that a snapshot holds, in ascending order; lists several segments at once where that is faster.
 *
 * @throws ColdsnapError code `BAD_LIST` for a list that cannot be true (index outside the volume or out of order, sizes
 *   that change, endless pages)
 */
export function listBlocks(
  api: Pick<EbsDirectApi, 'listSnapshotBlocks'>,
  snapshotId: string,
  range: ListRange = {},
) {
  const list = (segment: ListRange) =>
    checkedPages('ListSnapshotBlocks', snapshotId, segment, async (position) => {
      const page = await api.listSnapshotBlocks({ snapshotId, ...position }, range);
      return { ...page, entries: page.blocks };
    });
  return listInParallel(list, range);
}

/**
 * Streams the blocks that differ between two snapshots of one lineage, in ascending order.
 * @throws ColdsnapError as {@link listBlocks} does
 */
export function listChangedBlocks(
  api: Pick<EbsDirectApi, 'listChangedBlocks'>,
  firstSnapshotId: string,
  secondSnapshotId: string,
  range: ListRange = {},
) {
  return checkedPages('ListChangedBlocks', secondSnapshotId, range, async (position) => {
    const page = await api.listChangedBlocks({ firstSnapshotId, secondSnapshotId, ...position }, range);
    return { ...page, entries: page.changedBlocks };
  });
}
