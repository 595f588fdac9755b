/** Sizes of EBS volumes and their blocks. */

/** Bytes in a GiB, the unit of volume sizes. */
export const GIB = 2 ** 30;
/** The largest EBS volume, 64 TiB. */
export const MAX_VOLUME_GIB = 65_536;

/** A volume's size and the size of its blocks, both in bytes. */
export interface Geometry {
  readonly volumeSize: number;
  readonly blockSize: number;
}
