/** Every sentence of a copy. */
import type { CopyResult } from '../transfer/options.ts';
import { formatBytes, formatDuration, formatRate } from './progress/format.ts';
import { inRegion, retryCount, throttleCount } from './progress-messages.ts';

export const copyTitle = (snapshotId: string) => `${snapshotId} to a new snapshot`;

/** `copied snap-1 (us-east-1) to snap-2 (eu-west-1): 8.0 GiB (8589934592 bytes) in 16 s, 7.0 GiB sent at …`. */
export function describeCopied(result: CopyResult, bytesPerSecond: number): string {
  const { source, volumeSize, blockSize, bytesTransferred, bytesSkipped, bytesResumed, throttles } = result;
  const parts = [
    `${formatBytes(volumeSize)} (${volumeSize} bytes) in ${formatDuration(result.elapsedMs)}`,
    `${formatBytes(bytesTransferred)} sent at ${formatRate(bytesPerSecond)}`,
  ];
  if (result.zerosSent > 0)
    parts.push(`${formatBytes(result.zerosSent * blockSize)} of it zeros that the source does not list`);
  if (bytesSkipped > 0) parts.push(`${formatBytes(bytesSkipped)} not listed or unchanged`);
  if (bytesResumed > 0) parts.push(`${formatBytes(bytesResumed)} already done`);
  parts.push(retryCount(result.retries));
  if (throttles > 0) parts.push(throttleCount(throttles));
  return `copied ${inRegion(source)} to ${inRegion(result)}: ${parts.join(', ')}`;
}
