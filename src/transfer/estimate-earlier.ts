/** Dry runs of downloads: what an earlier run has done to the target, which is neither changed nor read back. */
import type { EbsConnection } from '../ebs/service.ts';
import { ColdsnapError } from '../errors.ts';
import type { Geometry } from '../geometry.ts';
import type { ImageTarget, InPlaceTarget } from '../image/target.ts';
import { peekJournal } from './journal/journal.ts';
import { isLocked, lockOf } from './journal/lock.ts';
import { findRestoreJournal, isOfService, type RestoreJournal } from './journal/restore.ts';
import { journalBusy } from './journal-messages.ts';
import type { DownloadOptions } from './options.ts';
import type { Run } from './run/run.ts';
import { reopenEarlier } from './sinks/resume.ts';
import { warnings } from './warnings.ts';

/** An earlier run of the same download. */
export interface EarlierRestore {
  readonly journal: RestoreJournal;
  /** Whether it was killed when the image had its name: only the journal is to be removed. */
  readonly whole: boolean;
}

/** Finds the journal of an earlier run, which is not changed. */
export async function earlierRestore(
  run: Run,
  target: ImageTarget,
  {
    snapshotId,
    base,
    force,
    checkpoint,
    checkpointFile,
    fresh = false,
  }: Pick<DownloadOptions, 'snapshotId' | 'force' | 'checkpoint' | 'checkpointFile' | 'fresh'> & {
    readonly base?: string | undefined;
  },
): Promise<EarlierRestore | undefined> {
  const { resumable } = target;
  if (resumable === undefined || checkpoint === false) return undefined;
  if (checkpointFile !== undefined && (await isLocked(checkpointFile)))
    throw journalBusy(checkpointFile, lockOf(checkpointFile));
  if (fresh && base === undefined) return undefined;
  const { path, identity } = resumable.journal;
  const found = await findRestoreJournal(peekJournal({ path: checkpointFile ?? path, identity }), {
    snapshotId,
    base,
    force,
    target,
  });
  if (found.kind === 'rejected') run.warn(...warnings.ignoringJournal('download', found.reason));
  if (found.kind !== 'usable') return undefined;
  const { journal } = found;
  const whole = journal.committing !== undefined && (await resumable.isCommitted(journal.committing));
  return { journal, whole };
}

export const otherService = 'it belongs to another service';

/**
 * Whether the work is of this service.
 * @throws ColdsnapError `TARGET_BETWEEN`
 */
export function isOf(
  { identity }: EbsConnection,
  { journal }: EarlierRestore,
  { label }: ImageTarget,
): boolean {
  return isOfService(journal, identity, label);
}

/** Why the work of an earlier run would not be resumed; undefined if it would. */
export async function whyNotResumed(
  { journal, whole }: EarlierRestore,
  target: ImageTarget | InPlaceTarget,
  geometry: Geometry,
): Promise<string | undefined> {
  // A file that is changed in place would be truncated by this.
  if (whole || 'checkSizes' in target) return undefined;
  return reopenEarlier(journal, geometry, target);
}

/**
 * @returns what would be overwritten, with force
 * @throws ColdsnapError class `refused`
 */
export async function checkOverwrite(
  target: ImageTarget | InPlaceTarget,
  { force = false }: Pick<DownloadOptions, 'force'>,
  earlier: EarlierRestore | undefined,
): Promise<string | undefined> {
  const resuming = earlier !== undefined;
  if (earlier?.whole) return undefined;
  await target.checkOverwrite({ force, resuming });
  if (!force || resuming) return undefined;
  try {
    await target.checkOverwrite({ force: false, resuming });
    return undefined;
  } catch (error) {
    if (!(error instanceof ColdsnapError) || error.class !== 'refused') throw error;
    return error.message;
  }
}
