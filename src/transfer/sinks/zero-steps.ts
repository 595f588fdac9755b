import type { ImageTarget } from '../../image/target.ts';

/** Most zeros in one step, in bytes: few enough that an abort is noticed while a device is being zeroed. */
const MAX_ZERO_BYTES = 2 ** 30;
/** The same for a stream, whose reader may be slow: few enough that each step shows as progress. */
const MAX_STREAM_ZERO_BYTES = 2 ** 24;

/** Most blocks of zeros in one step. */
export function zeroBlocksPerStep({ resumable }: ImageTarget, blockSize: number): number {
  const most = resumable === undefined ? MAX_STREAM_ZERO_BYTES : MAX_ZERO_BYTES;
  return Math.max(1, Math.floor(most / blockSize));
}
