/** Checks that a volume fits its target, and that every range requested of the target is inside the volume. */
import { targetTooSmall } from './messages/devices.ts';
import { badGeometry, outsideVolume } from './messages/targets.ts';
import type { Geometry, ImageTarget } from './target.ts';

/** @throws ColdsnapError `BAD_GEOMETRY` unless the volume is a whole number of blocks */
export function checkGeometry(path: string, { volumeSize, blockSize }: Geometry): void {
  const possible =
    Number.isSafeInteger(volumeSize) && Number.isSafeInteger(blockSize) && blockSize > 0 && volumeSize > 0;
  if (!possible || volumeSize % blockSize !== 0) throw badGeometry(path, volumeSize, blockSize);
}

/** @throws ColdsnapError `OUTSIDE_VOLUME` */
export function checkRange(path: string, offset: number, length: number, volumeSize: number): void {
  if (!(offset >= 0 && length >= 0 && offset + length <= volumeSize))
    throw outsideVolume(path, offset, length, volumeSize);
}

/** The error of `writeBlocks` and `zero` before `prepare`. */
export function notPrepared(path: string): Error {
  return new Error(`${path} is not ready to be written: prepare() comes first`);
}

/** @throws ColdsnapError `TARGET_TOO_SMALL`, with both sizes */
export function checkFits({ label, sizeBytes }: ImageTarget, volumeSize: number): void {
  if (sizeBytes !== undefined && sizeBytes < volumeSize) throw targetTooSmall(label, sizeBytes, volumeSize);
}
