/** The sentences of the progress display. */
import type { TransferEvent, TransferPhase, TransferProgress } from '../transfer/events.ts';
import { formatBytes, formatCount, formatDuration, formatRate } from './progress/format.ts';

export const targetName = (path: string) => (path === '-' ? 'stdout' : path);

/** `a.img and b.img`, or how many they are. */
export const targetsTitle = (targets: readonly string[]) =>
  targets.length > 2 ? `${targets.length} targets` : targets.map(targetName).join(' and ');

export const sourceName = (path: string) => (path === '-' ? 'stdin' : path);

/** `snap-1 (eu-west-1)` */
export const inRegion = ({
  snapshotId,
  region,
}: {
  readonly snapshotId?: string | undefined;
  readonly region?: string | undefined;
}) => `${snapshotId ?? 'a new snapshot'} (${region})`;

export const phases: Readonly<Record<TransferPhase, string>> = {
  listing: 'listing the blocks',
  verifying: 'verifying what an earlier run has done',
  proving: 'comparing with the base',
  hashing: 'computing the SHA-256',
  'reading-back': 'reading back what was written',
  committing: 'flushing the target',
  completing: 'completing the snapshot',
  waiting: 'waiting for the snapshot',
};

/** `flushing the target (12 s)`, `verifying what an earlier run has done: 1.0 GiB of 8.0 GiB (5.0 s)`. */
export function phaseLine(what: string, ms: number, bytesDone?: number, bytesTotal?: number): string {
  const bytes =
    bytesTotal === undefined ? '' : `: ${formatBytes(bytesDone ?? 0)} of ${formatBytes(bytesTotal)}`;
  return `${what}${bytes} (${formatDuration(ms)})`;
}

export const snapshotCreated = (snapshotId: string) => `created snapshot ${snapshotId}`;

export const snapshotResumed = (snapshotId: string) => `resuming snapshot ${snapshotId}`;

export const warning = (message: string) => `warning: ${message}`;

export const waitingFor = (what: string) => `waiting for ${what}`;

/** The cause first: `… failed: connection refused; no progress for 12 s, next try in 4.0 s, giving up in 48 s`. */
export function describeStall(
  cause: string,
  times: { readonly idleMs: number; readonly nextTryMs?: number; readonly givingUpMs?: number },
): string {
  const parts = [`no progress for ${formatDuration(times.idleMs)}`];
  if (times.nextTryMs !== undefined && times.nextTryMs > 0)
    parts.push(`next try in ${formatDuration(times.nextTryMs)}`);
  if (times.givingUpMs !== undefined) parts.push(`giving up in ${formatDuration(times.givingUpMs)}`);
  return `${cause}; ${parts.join(', ')}`;
}

export const snapshotState = (snapshotId: string, state: string, percent?: number) =>
  `${snapshotId} is in state "${state}"${percent === undefined ? '' : ` (${percent} %)`}`;

/**
 * `12.0 GiB of 100.0 GiB (12 %), 385.2 MiB/s, about 4 min 0 s left`, or `12.0 GiB of at least 20.0 GiB, 385.2 MiB/s`; of a
 * transfer that has nothing to move, how much of the volume is done.
 */
export function amounts(
  progress: TransferProgress,
  percent: number | undefined,
  bytesPerSecond: number,
  etaSeconds: number | undefined,
): string {
  const { bytesTransferred, bytesToMove, bytesToMoveKnown, bytesDone, bytesTotal } = progress;
  if (bytesToMoveKnown && bytesToMove === 0)
    return `${formatBytes(bytesDone)} of ${formatBytes(bytesTotal)} of the volume (${percent} %), ${formatBytes(0)} transferred`;
  const parts = [formatBytes(bytesTransferred)];
  if (bytesToMoveKnown) parts.push(` of ${formatBytes(bytesToMove)}`);
  else if (bytesToMove > bytesTransferred) parts.push(` of at least ${formatBytes(bytesToMove)}`);
  if (percent !== undefined) parts.push(` (${percent} %)`);
  parts.push(`, ${formatRate(bytesPerSecond)}`);
  // Below a second there is nothing to wait for.
  if (etaSeconds !== undefined && etaSeconds >= 1) {
    parts.push(`, about ${formatDuration(etaSeconds * 1000)} left`);
  }
  return parts.join('');
}

export const transferred = ({ bytesTransferred }: TransferProgress) =>
  `${formatBytes(bytesTransferred)} transferred`;

export const nothingTransferred = 'nothing transferred yet';

export const retryCount = (count: number) => formatCount(count, 'retry', 'retries');

export const throttleCount = (count: number) => formatCount(count, 'throttle', 'throttles');

export const lowerRate = (requestsPerSecond: number) =>
  `now at most ${formatCount(Math.floor(requestsPerSecond), 'request', 'requests')}/s`;

export const slowLine = (requestsInFlight: number) => `slow line: at most ${requestsInFlight} in flight`;

/** `GetSnapshotBlock of block 17 failed in the service (HTTP 500)`, with `; retrying in 4.0 s (attempt 3)`. */
export function describeRetry(event: Extract<TransferEvent, { type: 'retry' }>, withPlan = true): string {
  const { operation, block, message, attempt, delayMs } = event;
  const request = block === undefined ? operation : `${operation} of block ${block}`;
  const failure = message.includes(operation) ? message : `${request} failed: ${message}`;
  if (!withPlan) return failure;
  return `${failure}; retrying in ${formatDuration(delayMs)} (attempt ${attempt + 1})`;
}

/** `downloading snap-1 to disk.img: 8.0 GiB in blocks of 512.0 KiB, resuming, 1.0 GiB already done`. */
export function describeStart(event: Extract<TransferEvent, { type: 'start' }>): string {
  const { snapshotId, volumeSize, blockSize, bytesResumed } = event;
  const transfer =
    event.operation === 'copy'
      ? `copying ${inRegion(event.source)} to ${inRegion(event)}`
      : {
          download: `downloading ${snapshotId} to ${targetsTitle(event.targets ?? [event.path])}`,
          upload: `uploading ${sourceName(event.path)} to ${snapshotId ?? 'a new snapshot'}`,
          verify: `comparing ${sourceName(event.path)} with ${snapshotId}`,
        }[event.operation];
  const resumed = bytesResumed > 0 ? `, resuming, ${formatBytes(bytesResumed)} already done` : '';
  return `${transfer}: ${formatBytes(volumeSize)} in blocks of ${formatBytes(blockSize)}${resumed}`;
}
