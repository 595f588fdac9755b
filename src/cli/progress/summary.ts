/** What is said when a run has succeeded. */
import type { TransferProgress } from '../../transfer/events.ts';
import type { WaitResult } from '../../transfer/options.ts';
import { sourceLabel, targetLabel } from '../labels.ts';
import { formatBytes, formatCount, formatDuration, formatRate } from './format.ts';

export interface Summary {
  /** For people. */
  readonly line: string;
  /** For `--progress json`. */
  readonly object: object;
}

type TransferResult = TransferProgress & { snapshotId: string; volumeSize: number; blockSize: number };

function bytesPerSecond({ bytesTransferred, elapsedMs }: TransferProgress): number {
  return elapsedMs > 0 ? Math.round((bytesTransferred * 1000) / elapsedMs) : 0;
}

/** The result as one object, for `--json`. */
export function resultObject(operation: 'download' | 'upload', path: string, result: TransferResult): object {
  const elapsedMs = Math.round(result.elapsedMs);
  return { operation, path, ...result, elapsedMs, bytesPerSecond: bytesPerSecond(result) };
}

export function transferSummary(
  operation: 'download' | 'upload',
  path: string,
  result: TransferResult,
): Summary {
  const { snapshotId, volumeSize, bytesTransferred, bytesZero, bytesResumed, elapsedMs, retries, throttles } =
    result;
  const what =
    operation === 'download'
      ? `downloaded ${snapshotId} to ${targetLabel(path)}`
      : `uploaded ${sourceLabel(path)} to ${snapshotId}`;
  const facts = [
    `${formatBytes(volumeSize)} (${volumeSize} bytes) in ${formatDuration(elapsedMs)}`,
    `${formatBytes(bytesTransferred)} transferred at ${formatRate(bytesPerSecond(result))}`,
    formatCount(retries, 'retry', 'retries'),
  ];
  if (throttles > 0) facts.push(formatCount(throttles, 'throttle', 'throttles'));
  facts.push(`${formatBytes(bytesZero)} of zeros skipped`);
  if (bytesResumed > 0) facts.push(`${formatBytes(bytesResumed)} done by an earlier run`);
  return {
    line: `${what}: ${facts.join(', ')}`,
    object: { type: 'done', ...resultObject(operation, path, result) },
  };
}

export function waitSummary(result: WaitResult): Summary {
  return {
    line: `${result.snapshotId} is ${result.status} (after ${formatDuration(result.elapsedMs)})`,
    object: { type: 'done', operation: 'wait', ...result },
  };
}
