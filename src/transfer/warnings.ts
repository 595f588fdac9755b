/** Every warning of this layer, as code and message. */
import { describeErrno, errnoName } from '../errno.ts';
import { isError } from '../errors.ts';
import { formatBytes } from '../text.ts';
import type { WarningCode } from '../warning-codes.ts';
import type { EarlierSnapshot } from './journal/upload.ts';

/** The failure, for the middle of a sentence. */
function describeFailure(error: unknown): string {
  if (!isError(error)) return String(error);
  const { code, errno, syscall, message } = error as NodeJS.ErrnoException;
  if (syscall === undefined) return message;
  // Node has no name for some errnos, such as that of a quota.
  return describeErrno(errnoName(-(errno ?? 0)) ?? code ?? message);
}

type Warning = [code: WarningCode, message: string];

export const warnings = {
  stalled: (seconds: number, what: string): Warning => [
    'STALLED',
    `No progress for ${seconds} s; waiting for ${what}.`,
  ],

  ignoringJournal: (operation: string, reason: string): Warning => [
    'JOURNAL_NOT_USED',
    `Ignoring the journal of an earlier ${operation} (${reason}); starting over.`,
  ],

  ignoringUploadJournal(reason: string, earlier?: EarlierSnapshot): Warning {
    const [code, message] = warnings.ignoringJournal('upload', reason);
    if (earlier === undefined) return [code, message];
    const { snapshotId, completing = false } = earlier;
    const state = completing
      ? 'has everything, and may be complete; "coldsnap wait" shows whether it is'
      : 'still exists; "coldsnap pending" lists it';
    return [code, `${message} The earlier snapshot ${snapshotId} ${state}.`];
  },

  targetModified: (path: string, size: string): Warning => [
    'TARGET_MODIFIED',
    `${path} was modified after the interruption; ${size} of it is restored again.`,
  ],

  notConfirmed: (snapshotId: string, error: unknown): Warning => [
    'NOT_CONFIRMED',
    `Could not confirm that the service accepted ${snapshotId} (${describeFailure(error)}); "coldsnap wait" does.`,
  ],

  journalNotLocked: (operation: string, error: unknown): Warning => [
    'JOURNAL_NOT_LOCKED',
    `Could not lock the journal (${describeFailure(error)}); make sure that no other ${operation} uses it.`,
  ],

  journalNotWritten: (operation: string, path: string, error: unknown): Warning => [
    'JOURNAL_NOT_WRITTEN',
    `Could not write the journal ${path} (${describeFailure(error)}); the ${operation} continues without it.`,
  ],

  journalsNotRead: (directory: string, error: unknown): Warning => [
    'JOURNALS_NOT_READ',
    `Could not search the journals in ${directory}: ${describeFailure(error)}.`,
  ],

  journalNotRemoved: (path: string, error: unknown): Warning => [
    'JOURNAL_NOT_REMOVED',
    `Could not remove the journal ${path}: ${describeFailure(error)}.`,
  ],

  overwriting: (found: string): Warning => ['OVERWRITING', `Overwriting the target: ${found}.`],

  /** @param remaining targets that are still written */
  targetDropped: (target: string, error: Error, remaining: number): Warning => [
    'TARGET_DROPPED',
    `${target} failed and is not written any more (${error.message}); ${
      remaining === 0 ? 'no target remains' : `the download continues to ${remaining} of the targets`
    }.`,
  ],

  /** @param again the command that resumes. @param partial undefined for a device */
  downloadUnfinished: (
    again: string,
    target: string,
    partial: string | undefined,
    journal: string,
  ): Warning => [
    'DOWNLOAD_UNFINISHED',
    partial === undefined
      ? `The restore of ${target} is incomplete. Run ${again} to resume.`
      : `The incomplete image is kept as ${partial}. Run ${again} to resume; to give the space back ` +
        `instead, delete that file and ${journal}.`,
  ],

  /** For an incremental download. @param partial undefined for a device */
  changeUnfinished: (again: string, target: string, partial: string | undefined): Warning => [
    'DOWNLOAD_UNFINISHED',
    `${target} is between two states${
      partial === undefined ? '' : `, and is kept as ${partial}`
    }. Run ${again} to finish it.`,
  ],

  /** @param download the one that was interrupted */
  sourceUnfinished: (label: string, download: string): Warning => [
    'SOURCE_UNFINISHED',
    `${label} holds ${download}: the rest of it is as it was before. Run that download again to finish it.`,
  ],

  /** Follows a warning of an unfinished download. */
  ifDeleted:
    'If the snapshot was deleted, it cannot be finished: overwrite it by a full download of another.',

  spaceLow: (target: string, free: number, toWrite: number): Warning => [
    'SPACE_LOW',
    `The file system of ${target} has ${formatBytes(free)} free, but ${formatBytes(toWrite)} are to be written. It ` +
      'becomes full unless much of that is zeros, or is compressed.',
  ],

  zerosOmitted: (): Warning => [
    'ZEROS_OMITTED',
    'Blocks of zeros are omitted. They read as zeros only while neither the snapshot nor a copy or volume of it is ' +
      'encrypted; encrypted, they read as random data.',
  ],

  holesPut: (snapshotId: string): Warning => [
    'HOLES_PUT',
    `Snapshot ${snapshotId} is encrypted, and what is skipped would read as random data: holes are uploaded as zeros.`,
  ],

  listUnordered: (snapshotId: string): Warning => [
    'LIST_UNORDERED',
    `The list of ${snapshotId} is not in order; all of it is read and sorted before the transfer continues.`,
  ],

  notDescribed: (snapshotId: string, error: Error): Warning => [
    'NOT_DESCRIBED',
    `Could not describe ${snapshotId} in EC2, which knows its state, encryption and tags: ${error.message}.`,
  ],

  layoutNotRead: (snapshotId: string, error: unknown): Warning => [
    'LAYOUT_NOT_READ',
    `Could not read what is on ${snapshotId}: ${describeFailure(error)}.`,
  ],

  largerThanVolume: (label: string, volumeSize: number): Warning => [
    'LARGER_THAN_VOLUME',
    `${label} is larger than the volume; only its first ${volumeSize} bytes are compared.`,
  ],

  snapshotDeleted: (snapshotId: string): Warning => [
    'SNAPSHOT_DELETED',
    `Snapshot ${snapshotId} was deleted.`,
  ],

  snapshotNotDeleted: (snapshotId: string, error: unknown): Warning => [
    'SNAPSHOT_LEFT',
    `Could not delete snapshot ${snapshotId} (${describeFailure(error)}); "coldsnap pending" lists it.`,
  ],

  snapshotUnfinished: (again: string, snapshotId: string, resumable: boolean): Warning => [
    'SNAPSHOT_LEFT',
    resumable
      ? `Snapshot ${snapshotId} is unfinished. Run ${again} to resume; "coldsnap pending" lists it.`
      : `Snapshot ${snapshotId} is unfinished. It cannot be resumed; "coldsnap pending" lists it and can delete it.`,
  ],

  snapshotMayBeCompleted: (again: string, snapshotId: string, resumable: boolean): Warning => [
    'SNAPSHOT_LEFT',
    resumable
      ? `Snapshot ${snapshotId} may be completed already. Run ${again} to find out, and to finish it if it is not.`
      : `Snapshot ${snapshotId} may be completed already. If it is not, it cannot be resumed; "coldsnap pending" lists it and can delete it.`,
  ],

  snapshotMayExist: (again: string, resumable: boolean): Warning => [
    'SNAPSHOT_MAYBE_LEFT',
    `A snapshot may have been created before the reply was lost; ${
      resumable ? `run ${again} to resume it` : '"coldsnap pending" lists it'
    }.`,
  ],

  notProbed: (snapshotId: string, error: Error): Warning => [
    'NOT_PROBED',
    `Could not check whether ${snapshotId} is readable: ${error.message}.`,
  ],

  snapshotNotYetKnown: (snapshotId: string, patience: string): Warning => [
    'SNAPSHOT_NOT_YET_KNOWN',
    `EC2 does not list ${snapshotId} yet; checking for up to ${patience}.`,
  ],
};
