/** Sizes of EBS volumes. */

/** Bytes in a GiB, the unit of volume sizes. */
export const GIB = 2 ** 30;
/** The largest EBS volume, 64 TiB. */
export const MAX_VOLUME_GIB = 65_536;
