/** Errors of a wait. */
import { ColdsnapError } from '../errors.ts';

/** A limit of a wait was reached; `state` completes "snap-… is …". */
export const waitTimedOut = (snapshotId: string, state: string, after: string) =>
  new ColdsnapError('gave-up', 'WAIT_TIMED_OUT', `${snapshotId} ${state} after ${after}`, {
    hint: 'Waiting does not affect the snapshot; wait again, or longer.',
    operation: 'DescribeSnapshots',
    snapshotId,
  });

export const snapshotNotFound = (snapshotId: string, everKnown: boolean, elapsed: string) =>
  new ColdsnapError(
    'permanent',
    'SNAPSHOT_NOT_FOUND',
    `${snapshotId} ${everKnown ? 'was deleted during the wait' : 'does not exist'}: EC2 has not listed it for ${elapsed}`,
    {
      hint: 'Check the snapshot ID, the region and the account.',
      operation: 'DescribeSnapshots',
      snapshotId,
    },
  );

export const snapshotNotReadable = (snapshotId: string, elapsed: string, cause: ColdsnapError) =>
  new ColdsnapError(
    'gave-up',
    'SNAPSHOT_NOT_READABLE',
    `${snapshotId} is completed but could not be listed for ${elapsed}: ${cause.message}`,
    {
      ...cause,
      hint: 'An archived or publicly shared snapshot cannot be read through the EBS direct APIs.',
      cause,
    },
  );

/** The snapshot is in a state that it does not leave by itself. */
export function snapshotInDeadState(
  snapshotId: string,
  state: 'error' | 'recoverable',
  reason = '',
): ColdsnapError {
  const [what, hint] =
    state === 'error'
      ? [
          `is in state "error"${reason === '' ? '' : `: ${reason}`}`,
          'It cannot be used any more; delete it, and upload again.',
        ]
      : ['is in the Recycle Bin', 'Restore it from there first.'];
  const details = { hint, operation: 'DescribeSnapshots', snapshotId };
  return new ColdsnapError('permanent', 'SNAPSHOT_FAILED', `${snapshotId} ${what}`, details);
}
