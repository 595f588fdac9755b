/** Cleans up after an upload that failed: its snapshot is kept to resume or deleted, with a warning. */
import type { Service } from '../../ebs/service.ts';
import { ColdsnapError } from '../../errors.ts';
import type { Journal } from '../journal/journal.ts';
import type { UploadJournal } from '../journal/upload.ts';
import { snapshotGone, withSnapshot } from '../messages.ts';
import type { Run } from '../run/run.ts';
import { warnings } from '../warnings.ts';
import { deleteSnapshot, isListed } from './complete.ts';
import type { OpenSnapshot } from './start.ts';

interface FailedUpload {
  readonly run: Run;
  readonly service: Service;
  readonly journal: Journal<UploadJournal> | undefined;
}

/**
 * Deletes the snapshot, or saves what there is to resume, unless the snapshot is gone.
 * @param checkpoint saves the journal
 * @returns the error to throw
 */
export async function abandonSnapshot(
  { run, service, journal }: FailedUpload,
  { snapshot: { snapshotId }, completing }: Pick<OpenSnapshot, 'snapshot' | 'completing'>,
  error: unknown,
  fate: { readonly remove: boolean; readonly checkpoint: () => Promise<void> },
): Promise<unknown> {
  if (seemsGone(error) && !(await isListed(service, snapshotId))) {
    await journal?.remove();
    return snapshotGone(snapshotId, error);
  }
  if (!fate.remove) {
    await fate.checkpoint();
    const resumable = journal?.written === true;
    // The request that completes it may have been executed.
    const describe = completing && mayHaveStarted(error) ? 'snapshotMayBeCompleted' : 'snapshotUnfinished';
    run.warn(...warnings[describe](run.sameCommand, snapshotId, resumable));
    return withSnapshot(error, snapshotId);
  }
  const failure = await deleteSnapshot(service, snapshotId);
  if (failure !== undefined) {
    run.warn(...warnings.snapshotNotDeleted(snapshotId, failure));
    return withSnapshot(error, snapshotId);
  }
  await journal?.remove();
  run.warn(...warnings.snapshotDeleted(snapshotId));
  return error;
}

/**
 * StartSnapshot failed. Unless the service refused every request for it, a snapshot may exist whose ID is not known.
 * @param replyLost whether a request may have started a snapshot
 */
export async function abandonStart(
  { run, journal }: FailedUpload,
  error: unknown,
  replyLost: boolean,
): Promise<void> {
  if (replyLost || mayHaveStarted(error))
    run.warn(...warnings.snapshotMayExist(run.sameCommand, journal?.written === true));
  // An earlier run's snapshot can still be resumed.
  else await journal?.restoreEarlier();
}

/** Whether a request that failed in this way may have been executed, as to start a snapshot; one that was never sent has not. */
export function mayHaveStarted(error: unknown): boolean {
  if (!(error instanceof ColdsnapError)) return false;
  const sent = error.code !== 'ENDPOINT_UNREACHABLE' && error.code !== 'PROXY_UNREACHABLE';
  return sent && ['transient', 'aborted', 'gave-up'].includes(error.class);
}

/** Whether the service says that it has no such snapshot, such as after it was deleted: its token may still answer for it. */
function seemsGone(error: unknown): error is ColdsnapError {
  if (!(error instanceof ColdsnapError) || error.code !== 'SNAPSHOT_NOT_FOUND') return false;
  return error.operation === 'PutSnapshotBlock' || error.operation === 'CompleteSnapshot';
}

/** Whether a later run could not finish the snapshot: its source, or what was asked for, is not what it should be. */
export function isUseless(error: unknown): boolean {
  return error instanceof ColdsnapError && (error.class === 'refused' || error.sourceFault);
}
