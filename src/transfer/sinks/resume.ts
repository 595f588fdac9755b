/** Decides which part of an interrupted restore a later run keeps: every byte is read back before it is trusted. */
import { ColdsnapError } from '../../errors.ts';
import type { Geometry } from '../../geometry.ts';
import { openSource } from '../../image/open-source.ts';
import type { ImageTarget } from '../../image/target.ts';
import { formatBytes } from '../../text.ts';
import type { DigestWriter } from '../digests/writer.ts';
import { invalidateJournal } from '../journal/file.ts';
import { Journal } from '../journal/journal.ts';
import { type Claim, findChangedChunks, forget, hasData } from '../journal/prove.ts';
import { claimOf, type RestoreJournal } from '../journal/restore.ts';
import type { CheckpointOptions, DownloadOptions } from '../options.ts';
import type { Run } from '../run/run.ts';
import { verifying } from '../run/verifying.ts';
import { warnings } from '../warnings.ts';

export type ImageSinkOptions = Pick<
  DownloadOptions,
  'snapshotId' | 'force' | 'fresh' | 'checkpoint' | 'checkpointFile' | 'keepCheckpoint'
> & {
  /** The snapshot that the target holds, where only what has changed since is written. */
  readonly base?: string;
  /** Gets the digests of what an earlier run has done. */
  readonly digests?: DigestWriter | undefined;
};

/** The journal of a restore; undefined where none is kept. */
export function journalFor(
  run: Run,
  { resumable }: ImageTarget,
  { checkpoint, checkpointFile }: CheckpointOptions,
): Journal<RestoreJournal> | undefined {
  if (resumable === undefined || checkpoint === false) return undefined;
  const { path, identity } = resumable.journal;
  return new Journal(run, 'download', { identity, path: checkpointFile ?? path });
}

/** A journal of what is about to be overwritten must not outlive it, whether or not this run keeps one. */
export async function invalidateJournals(
  journal: Journal<RestoreJournal> | undefined,
  { resumable }: ImageTarget,
): Promise<void> {
  const journals = [journal?.location.path, resumable?.journal.path];
  for (const path of new Set(journals)) if (path !== undefined) await invalidateJournal(path);
}

/** The result of reading back. `unknown`: nothing shows that this is the target of the earlier run. */
type Proof = { readonly kind: 'proved'; readonly changedBlocks: number } | { readonly kind: 'unknown' };

/** Reads back what counts as done, and takes back what differs. */
async function prove(run: Run, claim: Claim, target: ImageTarget, digests?: DigestWriter): Promise<Proof> {
  const { resumable } = target;
  if (resumable === undefined) return { kind: 'unknown' };
  // Holes are known only of what has reached the file system.
  await target.sync();
  const changed = await findChangedChunks(claim, {
    read: (reads) => resumable.readBlocks(reads, { pastCache: true, synced: true }),
    dataRanges: (start, end) => resumable.dataRanges(start, end),
    ...verifying(run, claim),
    onDigest: digests && ((block, digest) => digests.set(block, digest)),
  });
  // A disk without a single right block is another disk, whose data are not ours to overwrite.
  if (changed.length > 0 && hasData(claim) && !hasData(claim, changed)) return { kind: 'unknown' };
  const before = claim.done.size;
  forget(claim, changed);
  return { kind: 'proved', changedBlocks: before - claim.done.size };
}

/**
 * Opens the work of an earlier run. Changes nothing, except for the size of a file that is changed in place.
 * @returns why it does not count; undefined if it may
 */
export async function reopenEarlier(
  journal: RestoreJournal,
  geometry: Geometry,
  target: ImageTarget,
): Promise<string | undefined> {
  const { resumable } = target;
  if (resumable === undefined) return 'it cannot be read back';
  if (journal.volumeSize !== geometry.volumeSize || journal.blockSize !== geometry.blockSize)
    return 'it belongs to a volume of other sizes';
  try {
    await target.prepare(geometry, { ...journal, resume: true });
  } catch (error) {
    if (!(error instanceof ColdsnapError) || error.code !== 'RESUME_MISMATCH') throw error;
    return error.message;
  }
  if (journal.instance !== (await resumable.inode())) return 'it belongs to another partial file';
  return undefined;
}

/**
 * Opens the work of an earlier run, and reads it back. Changes no contents.
 * @returns what is done, or the reason why nothing counts
 */
export async function resumeEarlier(
  run: Run,
  journal: RestoreJournal,
  geometry: Geometry,
  target: ImageTarget,
  digests?: DigestWriter,
): Promise<Claim | string> {
  const reason = await reopenEarlier(journal, geometry, target);
  if (reason !== undefined) return reason;
  const claim = claimOf(journal);
  const proof = await prove(run, claim, target, digests);
  if (proof.kind === 'unknown') return 'the target has been modified';
  if (proof.changedBlocks > 0)
    run.warn(...warnings.targetModified(target.label, formatBytes(proof.changedBlocks * geometry.blockSize)));
  return claim;
}

/** Whether a finished image, under its own name, still is what the journal claims. */
export async function isIntact(
  run: Run,
  journal: RestoreJournal,
  path: string,
  digests?: DigestWriter,
): Promise<boolean> {
  const claim = claimOf(journal);
  // An incremental restore did not write all of the volume.
  const whole = journal.base === undefined;
  const image = await openSource(path, { format: 'raw', examined: true });
  try {
    const changed = await findChangedChunks(claim, {
      read: (reads) => image.readBlocks(reads),
      dataRanges: (start, end) => image.dataRanges(start, end),
      ...verifying(run, claim),
      onDigest: digests && ((block, digest) => digests.set(block, digest)),
    });
    return changed.length === 0 && (!whole || claim.done.size === claim.blockCount);
  } finally {
    await image.close();
  }
}
