/** Sizes that every layer speaks of. */

export const GIB = 2 ** 30;

/** Limit of the service: 64 TiB. */
export const MAX_VOLUME_GIB = 65_536;

/** A volume as a whole number of blocks. */
export interface Geometry {
  /** Bytes; a multiple of the block size. */
  readonly volumeSize: number;
  /** Bytes; 524,288 on AWS. */
  readonly blockSize: number;
}
