/** Arguments that every transfer checks before it does anything. */
import { snapshotStatuses } from '../../ebs/ec2.ts';
import { DEFAULT_RETRY_FOR_MS } from '../../ebs/retry.ts';
import {
  badCheckpointInterval,
  badRate,
  badRetryFor,
  badSample,
  badSnapshotId,
  badWaitCondition,
  badWorkers,
} from '../messages.ts';
import type { WaitConditions } from '../options.ts';

const DEFAULT_WORKERS = 64;
const MAX_WORKERS = 1024;

/** @throws ColdsnapError class `usage` unless it is a whole number from 1 to 1,024 */
export function checkWorkers(workers: number = DEFAULT_WORKERS): number {
  if (Number.isInteger(workers) && workers >= 1 && workers <= MAX_WORKERS) return workers;
  throw badWorkers(workers, MAX_WORKERS);
}

/** @throws ColdsnapError class `usage` unless it is a finite number of milliseconds, 0 or more */
export function checkRetryFor(retryForMs: number = DEFAULT_RETRY_FOR_MS): number {
  if (Number.isFinite(retryForMs) && retryForMs >= 0) return retryForMs;
  throw badRetryFor(retryForMs);
}

/** How much work a crash can cost: what was moved since the journal was last saved. */
const DEFAULT_CHECKPOINT_INTERVAL_MS = 5_000;

/** @throws ColdsnapError class `usage` unless it is a number of milliseconds from 1 to 2,147,483,647 */
export function checkCheckpointInterval(ms: number = DEFAULT_CHECKPOINT_INTERVAL_MS): number {
  if (ms >= 1 && ms < 2 ** 31) return ms;
  throw badCheckpointInterval(ms);
}

/** @throws ColdsnapError class `usage` unless it is a number above 0, or nothing */
export function checkRate(bytesPerSecond: number | undefined): void {
  if (bytesPerSecond === undefined || bytesPerSecond > 0) return;
  throw badRate(bytesPerSecond);
}

/** @throws ColdsnapError class `usage` unless it is a number above 0 and at most 100 */
export function checkSample(percent: number = 100): number {
  if (percent > 0 && percent <= 100) return percent;
  throw badSample(percent);
}

/** AWS uses 8 or 17 hexadecimal digits and asks to expect other lengths; emulators have shorter IDs. */
const GIVEN_SNAPSHOT_ID = /^snap-[0-9a-f]{1,59}$/;

/**
 * Checks a snapshot ID of the caller's before any request: a mistyped one is an error.
 * @throws ColdsnapError class `usage`
 */
export function readableSnapshotId(snapshotId: string): string {
  if (GIVEN_SNAPSHOT_ID.test(snapshotId)) return snapshotId;
  throw badSnapshotId(snapshotId);
}

/** The longest time that a timer takes; what is longer would end at once. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** @throws ColdsnapError class `usage` */
export function checkWaitConditions(conditions: WaitConditions): void {
  const { desiredStatus, successesRequired, maxAttempts, secondsBetweenAttempts, timeoutMs } = conditions;
  const known: readonly string[] = snapshotStatuses;
  if (desiredStatus !== undefined && !known.includes(desiredStatus)) {
    // A state that does not exist would never be reached.
    throw badWaitCondition('the desired status', `one of ${known.join(', ')}`, desiredStatus);
  }
  const number = (name: string, value: number | undefined, least: number, most: number, whole: boolean) => {
    if (value === undefined) return;
    if (value >= least && value <= most && (!whole || Number.isInteger(value))) return;
    throw badWaitCondition(name, `a ${whole ? 'whole ' : ''}number from ${least} to ${most}`, value);
  };
  number('successesRequired', successesRequired, 0, Number.MAX_SAFE_INTEGER, true);
  number('maxAttempts', maxAttempts, 1, Number.MAX_SAFE_INTEGER, true);
  number('secondsBetweenAttempts', secondsBetweenAttempts, 0, Math.floor(MAX_TIMER_MS / 1000), false);
  number('timeoutMs', timeoutMs, 1, MAX_TIMER_MS, false);
}
