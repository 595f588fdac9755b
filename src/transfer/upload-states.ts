/** What an upload needs EC2 for, because the EBS direct APIs cannot tell: was it completed, remove it, wait for it. */
import { openEc2 } from '../ebs/ec2.ts';
import { ColdsnapError } from '../errors.ts';
import type { UploadOptions } from './options.ts';
import { waitForSnapshot } from './wait.ts';

/** How long a completed snapshot may be known as pending before a refused completion counts as a failure. */
const CONFIRM_MS = 300_000;

/**
 * Finds out whether a snapshot was completed by a request whose reply was lost.
 * @throws `refusal` when it was not
 */
export async function confirmCompletion(
  options: UploadOptions,
  snapshotId: string,
  refusal: ColdsnapError,
): Promise<void> {
  try {
    await waitForSnapshot({ ...options, snapshotId, successesRequired: 1, timeoutMs: CONFIRM_MS });
  } catch (error) {
    if (error instanceof ColdsnapError && error.class === 'aborted') throw error;
    throw refusal;
  }
}

/** Waits as `coldsnap wait` does. Resolves with the snapshot's state. */
export async function waitUntilUsable(options: UploadOptions, snapshotId: string): Promise<string> {
  const conditions = typeof options.wait === 'object' ? options.wait : {};
  const { status } = await waitForSnapshot({ ...options, ...conditions, snapshotId });
  return status;
}

/**
 * Deletes an unfinished snapshot. Runs after a failure, perhaps an abort, so it does not listen to the upload's signal
 * and does not retry for long.
 * @returns why it could not be deleted, if so
 */
export async function removeSnapshot(options: UploadOptions, snapshotId: string): Promise<Error | undefined> {
  const GIVE_UP_MS = 10_000;
  try {
    const ec2 = await openEc2({ ...options, retryForMs: GIVE_UP_MS, onRetry: () => {} });
    try {
      await ec2.states.delete(snapshotId, { justStarted: true, signal: AbortSignal.timeout(GIVE_UP_MS) });
    } finally {
      ec2.close();
    }
    return undefined;
  } catch (error) {
    return error as Error;
  }
}

export function snapshotFailed(snapshotId: string): ColdsnapError {
  return new ColdsnapError(
    'permanent',
    'SNAPSHOT_FAILED',
    `snapshot ${snapshotId} has failed in the service`,
    {
      snapshotId,
      hint: 'Upload again: that starts a new snapshot.',
    },
  );
}

/** The error, and which snapshot it leaves. */
export function withSnapshot(error: unknown, snapshotId: string): unknown {
  if (!(error instanceof ColdsnapError) || error.snapshotId !== undefined) return error;
  return new ColdsnapError(error.class, error.code, error.message, {
    ...error,
    cause: error.cause,
    snapshotId,
  });
}
