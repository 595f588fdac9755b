/** Every sentence of a comparison of an image with a snapshot. */
import { ColdsnapError } from '../errors.ts';
import { escapeControls } from '../text.ts';
import type { VerifyResult } from '../transfer/options.ts';
import { formatBytes, formatCount, formatDuration, formatRate } from './progress/format.ts';
import { retryCount, sourceName, throttleCount } from './progress-messages.ts';

export const verifyTitle = (snapshotId: string, path: string) => `${sourceName(path)} against ${snapshotId}`;

/** The first line on stdout of a comparison without a difference. */
export function describeEqual(path: string, result: VerifyResult, limits: VerifyLimits): string {
  const { snapshotId, bytesCompared } = result;
  const { samplePercent, skipUnlisted } = limits;
  const parts = [`${bytesCompared} bytes compared`];
  if (samplePercent !== undefined) parts.push(sampleOf(samplePercent));
  if (skipUnlisted) parts.push(onlyListed);
  return `${escapeControls(sourceName(path))} equals ${snapshotId}: ${parts.join(', ')}`;
}

const sampleOf = (percent: number) => `a sample of ${percent} %`;

const onlyListed = 'only what the snapshot lists';

interface VerifyLimits {
  readonly samplePercent?: number | undefined;
  readonly skipUnlisted?: boolean | undefined;
}

/** `compared disk.img with snap-1: 8.0 GiB (8589934592 bytes) in 16 s, received 7.0 GiB at …`. */
export function describeVerified(path: string, result: VerifyResult, bytesPerSecond: number): string {
  const { snapshotId, bytesCompared, bytesTransferred, differencesTotal, retries, throttles } = result;
  const parts = [
    `${formatBytes(bytesCompared)} (${bytesCompared} bytes) in ${formatDuration(result.elapsedMs)}`,
    `${formatBytes(bytesTransferred)} received at ${formatRate(bytesPerSecond)}`,
    differencesTotal === 0 ? 'no difference' : differingRanges(differencesTotal),
    retryCount(retries),
  ];
  if (throttles > 0) parts.push(throttleCount(throttles));
  return `compared ${sourceName(path)} with ${snapshotId}: ${parts.join(', ')}`;
}

const differingRanges = (count: number) => formatCount(count, 'differing range', 'differing ranges');

/** The line after the first 1,000 ranges. */
export const moreRanges = (count: number) => `and ${formatCount(count, 'more range', 'more ranges')}`;

export function imageDiffers(path: string, result: VerifyResult, limits: VerifyLimits): ColdsnapError {
  const { snapshotId, differencesTotal, differsUnlisted } = result;
  const { samplePercent, skipUnlisted } = limits;
  const sample = samplePercent === undefined ? '' : ` in ${sampleOf(samplePercent)}`;
  const part = skipUnlisted ? `, ${onlyListed}` : '';
  const message = `${sourceName(path)} differs from ${snapshotId}: ${differingRanges(differencesTotal)}${sample}${part}`;
  if (!differsUnlisted) return new ColdsnapError('integrity', 'IMAGE_DIFFERS', message);
  const hint =
    'A volume made from an encrypted snapshot holds random data where the snapshot lists nothing; --skip-unlisted compares the rest.';
  return new ColdsnapError('integrity', 'IMAGE_DIFFERS', message, { hint });
}
