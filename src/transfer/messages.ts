/** Every error of this layer, ready to be thrown. */
import type { ErrorCode } from '../error-codes.ts';
import { ColdsnapError } from '../errors.ts';
import { GIB, MAX_VOLUME_GIB } from '../geometry.ts';

function usage(code: ErrorCode, message: string, hint?: string): ColdsnapError {
  return new ColdsnapError('usage', code, message, { hint });
}

function refused(code: ErrorCode, message: string, hint: string, snapshotId?: string): ColdsnapError {
  return new ColdsnapError('refused', code, message, { hint, snapshotId });
}

// Arguments

export const badWorkers = (workers: unknown, most: number) =>
  usage('BAD_WORKERS', `workers must be a whole number from 1 to ${most}, not ${workers}`);

export const badRetryFor = (retryForMs: unknown) =>
  usage('BAD_RETRY_FOR', `the retry time must be 0 or more, not ${retryForMs}`);

export const badCheckpointInterval = (ms: unknown) =>
  usage('BAD_CHECKPOINT_INTERVAL', `the journal can be saved every 1 to 2,147,483,647 ms, not every ${ms}`);

export const badRate = (bytesPerSecond: unknown) =>
  usage('BAD_RATE', `the rate must be above 0, not ${bytesPerSecond}`);

export const badMapCells = (cells: unknown, most: number) =>
  usage('BAD_MAP_CELLS', `a map has 1 to ${most} cells, not ${cells}`);

export const badSnapshotId = (snapshotId: string) =>
  usage(
    'BAD_SNAPSHOT_ID',
    `"${snapshotId}" is not a snapshot ID`,
    'A snapshot ID looks like snap-0123456789abcdef0.',
  );

export const badWaitCondition = (name: string, expected: string, value: unknown) =>
  usage('BAD_WAIT_OPTION', `${name} must be ${expected}, not ${value}`);

export const badSample = (percent: unknown) =>
  usage('BAD_SAMPLE', `a sample is above 0 and at most 100 percent, not ${percent}`);

export const imageTooShort = (label: string, sizeBytes: number, volumeSize: number) =>
  new ColdsnapError(
    'integrity',
    'IMAGE_TOO_SHORT',
    `${label} has ${sizeBytes} bytes, the snapshot's volume ${volumeSize}`,
    { path: label, hint: 'It cannot hold the whole volume.' },
  );

// Uploads: what is asked for

export const parentWithEncryption = () =>
  usage(
    'PARENT_WITH_ENCRYPTION',
    'a parent snapshot and encryption cannot be combined',
    'A child is encrypted with the key of its parent.',
  );

export const omitWithEncryption = () =>
  refused(
    'OMIT_WITH_ENCRYPTION',
    'zero blocks cannot be omitted from an encrypted snapshot: omitted blocks read as random data',
    'Send all zeros.',
  );

export const omitWithDefaultEncryption = (snapshotId: string) =>
  refused(
    'OMIT_WITH_ENCRYPTION',
    `snapshot ${snapshotId} is encrypted by the account's default, and omitted zero blocks would read as random data`,
    'Send all zeros.',
    snapshotId,
  );

export const omitWithParent = () =>
  refused(
    'OMIT_WITH_PARENT',
    "zero blocks cannot be omitted from a child: omitted blocks keep the parent's content",
    'Send all zeros.',
  );

export const badVolumeSize = (gib: unknown) =>
  usage('BAD_VOLUME_SIZE', `a volume has 1 to ${MAX_VOLUME_GIB} GiB, not ${gib}`);

export const volumeTooSmall = (sourceBytes: number, gib: number, needed: number) =>
  usage(
    'VOLUME_TOO_SMALL',
    `the source has ${sourceBytes} bytes, the volume of ${gib} GiB only ${gib * GIB}`,
    `Set a volume size of ${needed} GiB or more.`,
  );

export const sourceTooLarge = (gib: number) =>
  usage('SOURCE_TOO_LARGE', `the source has ${gib} GiB; a volume has at most ${MAX_VOLUME_GIB}`);

export const descriptionTooLong = (most: number) =>
  usage('BAD_DESCRIPTION', `the description is longer than ${most} characters`);

export const badTag = (problem: string) => usage('BAD_TAG', problem);

// Incremental downloads

export const baseNeedsJournal = () =>
  usage(
    'BASE_NEEDS_JOURNAL',
    'an incremental download needs a journal, without which an interrupted one could not be finished',
    'Keep the journal.',
  );

export const baseProofConflict = () =>
  usage('CONFLICTING_OPTIONS', 'a base cannot be both trusted and compared');

export const baseHasOtherBlocks = (baseId: string, snapshotId: string) =>
  new ColdsnapError('permanent', 'BAD_LIST', `${baseId} and ${snapshotId} have blocks of different sizes`, {
    snapshotId,
  });

export const baseDiffers = (label: string, baseId: string, start: number, end: number) =>
  new ColdsnapError(
    'integrity',
    'BASE_DIFFERS',
    `${label} does not hold ${baseId}: bytes ${start}-${end} differ; it was not changed`,
    { path: label, hint: 'Name the snapshot that it holds, or do a full download.' },
  );

export const journalRequired = (path: string) =>
  new ColdsnapError(
    'local',
    'JOURNAL_REQUIRED',
    `could not write the journal ${path}, without which an interrupted incremental download cannot be finished`,
    { path, hint: 'Make its directory writable, or set another path.' },
  );

/**
 * @param download the one that was interrupted
 * @param mayForce whether force allows it
 */
export const sourceUnfinished = (label: string, download: string, mayForce: boolean) =>
  refused(
    'SOURCE_UNFINISHED',
    `${label} holds ${download}`,
    `Run that download again to finish it${mayForce ? ', or force the upload' : ''}.`,
  );

/** @param unfinished what an earlier run was doing */
export const targetBetween = (path: string, unfinished: string) =>
  refused(
    'TARGET_BETWEEN',
    `${path} is between two states: ${unfinished} was interrupted`,
    'Finish it with the same command, or overwrite it by a full download.',
  );

/** The file may still hold what it did before. */
export const fullUnfinished = (path: string, snapshotId: string) =>
  refused(
    'TARGET_BETWEEN',
    `a full download of ${snapshotId} to ${path} was interrupted`,
    'Finish it with the same command, or overwrite it by a full download.',
  );

// Snapshots

export const noList = (snapshotId: string) =>
  new ColdsnapError('permanent', 'BAD_LIST', `${snapshotId} has no list`, { snapshotId });

export const snapshotFailed = (snapshotId: string) =>
  new ColdsnapError('permanent', 'SNAPSHOT_FAILED', `snapshot ${snapshotId} is in state "error"`, {
    snapshotId,
    hint: 'Upload again: that starts a new snapshot.',
  });

/** The snapshot that is uploaded was deleted. */
export const snapshotGone = (snapshotId: string, cause: ColdsnapError) =>
  new ColdsnapError('permanent', 'SNAPSHOT_NOT_FOUND', `snapshot ${snapshotId} does not exist`, {
    ...cause,
    cause,
    hint: 'It was deleted or has expired. Upload again: that starts a new snapshot.',
  });

export const sourceBusy = (path: string, lock: string) =>
  new ColdsnapError('refused', 'SOURCE_BUSY', `another run is uploading ${path} (it holds ${lock})`, {
    path,
    hint: 'Wait until it ends, or give this upload its own journal.',
  });

export const notPendingUpload = (snapshotId: string) =>
  refused(
    'NOT_A_PENDING_UPLOAD',
    `${snapshotId} is not an unfinished snapshot that coldsnap started; nothing was deleted`,
    'List them first.',
    snapshotId,
  );

export const uploadRunning = (snapshotId: string) =>
  refused(
    'UPLOAD_RUNNING',
    `${snapshotId} is being uploaded by a run on this machine; nothing was deleted`,
    'Stop that run first, or force the deletion.',
    snapshotId,
  );

/** The error, with the snapshot that it leaves behind. */
export function withSnapshot(error: unknown, snapshotId: string): unknown {
  if (!(error instanceof ColdsnapError) || error.snapshotId !== undefined) return error;
  const { class: errorClass, code, message, cause } = error;
  return new ColdsnapError(errorClass, code, message, { ...error, cause, snapshotId });
}

// Stalled runs

export const stalled = (seconds: number, what: string) =>
  new ColdsnapError('gave-up', 'STALLED', `no progress for ${seconds} s; still waiting for ${what}`, {
    hint: 'Run it again to resume.',
  });
