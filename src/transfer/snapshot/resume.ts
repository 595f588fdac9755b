/** Whether a later run of an upload may keep what an earlier one has put: the source must be what it was. */
import { isSameService, type ServiceIdentity } from '../../ebs/service.ts';
import type { ImageSource } from '../../image/source.ts';
import type { DigestWriter } from '../digests/writer.ts';
import { RangeSet } from '../engine/range-set.ts';
import { ChunkDigests } from '../journal/chunk-digests.ts';
import { findChangedChunks } from '../journal/prove.ts';
import type { EarlierSnapshot, UploadJournal, UploadLookup } from '../journal/upload.ts';
import type { Run } from '../run/run.ts';
import { verifying } from '../run/verifying.ts';

interface Choice {
  readonly service: ServiceIdentity;
  /** Whether to start over in any case. */
  readonly fresh: boolean;
  /** Whether the source holds what the journal claims. */
  readonly prove: (journal: UploadJournal) => Promise<boolean>;
  /** Called with the reason why a journal is not used, and its snapshot. */
  readonly onDiscarded: (reason: string, earlier?: EarlierSnapshot) => void;
}

/** The journal to resume from: the one that was found, if it is of this service and its source is unchanged. */
export async function chooseJournal(
  found: UploadLookup,
  { service, fresh, prove, onDiscarded }: Choice,
): Promise<UploadLookup> {
  if (found.kind === 'rejected' && !fresh) onDiscarded(found.reason, found.earlier);
  if (found.kind !== 'usable') return { kind: 'none' };
  const { journal } = found;
  const earlier = journal.snapshotId === '' ? undefined : journal;
  const reason = fresh
    ? 'a fresh start was requested'
    : !isSameService(service, journal.service)
      ? 'it belongs to another service'
      : !(await prove(journal))
        ? 'the source has changed'
        : undefined;
  if (reason === undefined) return found;
  if (earlier !== undefined || !fresh) onDiscarded(reason, earlier);
  return { kind: 'none' };
}

/**
 * Whether the stamp shows that the source was not written, or else all that was put still reads the same.
 * @param saved gets the digests of what reads the same
 */
export async function isUnchanged(
  run: Run,
  image: ImageSource,
  stamp: string | undefined,
  journal: UploadJournal,
  saved?: DigestWriter,
): Promise<boolean> {
  const { blockSize } = journal;
  if (saved === undefined && stamp !== undefined && stamp === journal.stamp) return true;
  // The start of the snapshot was not answered: nothing was put.
  if (blockSize === 0) return true;
  const blockCount = volumeBlocks(journal);
  const digests = new ChunkDigests(blockCount, journal.digests);
  const claim = { done: new RangeSet(journal.done), digests, blockSize, blockCount };
  const changed = await findChangedChunks(claim, {
    read: (reads) => image.readBlocks(reads),
    // Past its end, which may have been nearer or farther then, the source has none, and reads as zeros.
    dataRanges: (start, end) => image.dataRanges(start, end),
    ...verifying(run, claim),
    onDigest: saved && ((block, digest) => saved.set(block, digest)),
  });
  if (changed.length > 0) await saved?.reset();
  return changed.length === 0;
}

/** Blocks of the volume, which the parameters of the journal name. */
function volumeBlocks({ parameters, blockSize }: UploadJournal): number {
  const { volumeSizeGiB } = JSON.parse(parameters) as { volumeSizeGiB: number };
  return (volumeSizeGiB * 2 ** 30) / blockSize;
}
