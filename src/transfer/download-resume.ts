/** Makes a download's target ready: with what an earlier run has done, if that proves to be there still. */
import { ColdsnapError } from '../errors.ts';
import type { Geometry, ImageTarget } from '../image/target.ts';
import { DownloadCheckpoint, type JournalLocation, type JournalLookup } from './download-checkpoint.ts';
import { invalidateJournal } from './journal.ts';
import { RangeSet } from './range-set.ts';

export interface PrepareOptions {
  readonly snapshotId: string;
  readonly geometry: Geometry;
  /** Where the journal goes; none is kept without it. */
  readonly place: JournalLocation | undefined;
  readonly found: JournalLookup;
  readonly force: boolean;
  /** Told why an earlier run's work is not used. */
  readonly onDiscarded: (reason: string) => void;
}

/**
 * Prepares the target, the first change to it.
 *
 * @returns the checkpoint to mark blocks in, which knows the blocks that are done already; undefined without a journal
 * @throws ColdsnapError class `refused` or `local`
 */
export async function prepareTarget(
  target: ImageTarget,
  options: PrepareOptions,
): Promise<DownloadCheckpoint | undefined> {
  const { place, snapshotId, geometry, found, force } = options;
  const resumed = place === undefined ? undefined : await resume(target, place, options);
  if (resumed !== undefined) return resumed;
  if (found.kind !== 'none') await target.checkOverwrite({ force, resuming: false });
  // A journal of what is about to be overwritten must not outlive it, whether or not this run keeps one.
  const journals = [place?.path, target.resumable?.journal.path].filter((path) => path !== undefined);
  for (const path of new Set(journals)) await invalidateJournal(path);
  await target.prepare(geometry, { resume: false });
  return place === undefined ? undefined : new DownloadCheckpoint(place, snapshotId, geometry);
}

async function resume(
  target: ImageTarget,
  place: JournalLocation,
  options: PrepareOptions,
): Promise<DownloadCheckpoint | undefined> {
  const { found, geometry, snapshotId, onDiscarded } = options;
  if (found.kind !== 'fits' && found.kind !== 'foreign') return undefined;
  const { volumeSize, blockSize } = geometry;
  if (
    found.kind === 'fits' &&
    (found.journal.volumeSize !== volumeSize || found.journal.blockSize !== blockSize)
  ) {
    onDiscarded('it is of a volume with other sizes');
    return undefined;
  }
  try {
    const committing = found.kind === 'fits' ? found.journal.committing : undefined;
    await target.prepare(geometry, { resume: true, committing });
  } catch (error) {
    if (!(error instanceof ColdsnapError) || error.code !== 'RESUME_MISMATCH') throw error;
    onDiscarded(error.message);
    return undefined;
  }
  if (found.kind === 'fits' && found.journal.instance !== (await target.resumable?.inode())) {
    onDiscarded('the partial file is not the one that it speaks of');
    return undefined;
  }
  if (found.kind === 'foreign') {
    const done = await blocksThere(target, found.blocks, geometry);
    return new DownloadCheckpoint(place, snapshotId, geometry, { done: done.ranges(), samples: [] });
  }
  const checkpoint = new DownloadCheckpoint(place, snapshotId, geometry, found.journal);
  if (await checkpoint.matches(target, geometry)) return checkpoint;
  onDiscarded('the target has been written to since');
  return undefined;
}

/**
 * Blocks of the Rust tool's checkpoint that can be kept. It never synced what it wrote, so a block that now reads as
 * zeros may have been lost in a crash, and is fetched again.
 */
async function blocksThere(
  target: ImageTarget,
  blocks: readonly number[],
  geometry: Geometry,
): Promise<RangeSet> {
  const kept = new RangeSet();
  const data = new Uint8Array(geometry.blockSize);
  for (const block of blocks) {
    if (block >= geometry.volumeSize / geometry.blockSize) continue;
    const reads = [{ data, offset: block * geometry.blockSize }];
    const [read] = (await target.resumable?.readBlocks(reads, { pastCache: false })) ?? [];
    if (read !== undefined && !read.zero) kept.add(block);
  }
  return kept;
}
