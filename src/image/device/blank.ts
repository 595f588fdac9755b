/**
 * Where to look before a device counts as blank: every place in which libblkid (2.41) looks for a label, and places spread
 * over the device, for data that have none.
 */
import { allocateSlab, type BlockRead, readBlocks } from '../../native/index.ts';

const KiB = 1024;
const MiB = 1024 * KiB;
const GiB = 1024 * MiB;
/** Direct I/O and the smallest label alike fit into it. */
const unit = 4 * KiB;

/**
 * Bytes at both ends that are read whole. At the start: all file systems but btrfs's copies (ext and f2fs at 1 KiB, xfs,
 * NTFS, FAT and LUKS at 0, swap at the end of a page of 4 to 64 KiB, bcache and md 1.2 at 4 KiB, LVM in the first 4 sectors,
 * iso9660, UDF and jfs at 32 KiB, reiserfs and btrfs at 64 KiB, UFS up to 256 KiB, ZFS up to 512 KiB, VMFS at 1 and 2 MiB),
 * partition tables, and LUKS2's second header up to 1 MiB. At the end: GPT's copy, md 0.90 and 1.0, the formats of RAID
 * controllers, DRBD, nilfs2, and two of ZFS's labels.
 */
const ends = 2 * MiB + 64 * KiB;

/** btrfs's copies of its superblock, LUKS2's second header (cryptsetup's hdr_offset2), VMFS, exFS and GFS2 volumes. */
const offsets = [2 * MiB, 4 * MiB, 16 * MiB, 64 * MiB, 256 * GiB, 1024 ** 5];

const samples = 256;
/** Bytes in one call, which bounds the memory. */
const batchBytes = 4 * MiB;
/** In the first call: the labels of most devices that are in use, so that the others need not be read. */
const firstBatchBytes = 68 * KiB;

interface Probe {
  readonly offset: number;
  readonly length: number;
}

/** The ranges to read of a device of this size, ascending, without overlaps, in sectors of 4 KiB except at the end. */
export function blankProbes(sizeBytes: number): Probe[] {
  const wanted: Probe[] = [
    { offset: 0, length: ends },
    { offset: Math.floor(Math.max(0, sizeBytes - ends) / unit) * unit, length: ends + unit },
    ...offsets.map((offset) => ({ offset, length: 2 * unit })),
    ...Array.from({ length: samples }, (_, i) => ({
      offset: Math.floor(((i + 0.5) * sizeBytes) / samples / unit) * unit,
      length: unit,
    })),
  ];
  const probes: Probe[] = [];
  let end = 0;
  for (const { offset, length } of wanted.sort((a, b) => a.offset - b.offset)) {
    const from = Math.max(offset, end);
    const to = Math.min(offset + length, sizeBytes);
    if (from >= to) continue;
    probes.push({ offset: from, length: to - from });
    end = to;
  }
  return probes;
}

/** Whether a range reads as zeros. */
export async function isZeroRange(fd: number, offset: number, length: number): Promise<boolean> {
  return allZero(fd, [{ offset, length }]);
}

/** Whether a device reads as zeros in all places that {@link blankProbes} names. */
export async function isBlank(fd: number, sizeBytes: number): Promise<boolean> {
  return allZero(fd, blankProbes(sizeBytes));
}

async function allZero(fd: number, probes: readonly Probe[]): Promise<boolean> {
  let slab = new Uint8Array(allocateSlab(firstBatchBytes));
  const reads: BlockRead[] = [];
  let used = 0;
  const flush = async (): Promise<boolean> => {
    const results = await readBlocks(fd, reads, { hash: false });
    const zero = results.every((result, i) => result.zero && result.bytesRead === reads[i]!.data.length);
    reads.length = 0;
    used = 0;
    if (zero && slab.length < batchBytes) slab = new Uint8Array(allocateSlab(batchBytes));
    return zero;
  };
  for (const { offset, length } of probes) {
    for (let at = 0; at < length; ) {
      if (used === slab.length && !(await flush())) return false;
      const size = Math.min(length - at, slab.length - used);
      reads.push({ data: slab.subarray(used, used + size), offset: offset + at });
      at += size;
      used = Math.min(slab.length, Math.ceil((used + size) / unit) * unit);
    }
  }
  return reads.length === 0 || flush();
}
