/**
 * Labels at the end of a device that is larger than the restored volume. A restore does not write there, and blkid, mount
 * and mdadm may take the disk for what it held before.
 */
import { allocateSlab, readBlocks } from '../../native/index.ts';

const KiB = 1024;
const probed = 1024 * KiB;

export interface OldSignature {
  readonly type: string;
  /** Byte offset on the device, as `wipefs --offset` takes it. */
  readonly offset: number;
}

interface Label {
  readonly type: string;
  /** Where its magic may be, from the device's size. */
  readonly offsets: (size: number) => number[];
  readonly magics: readonly Buffer[];
}

const bytes = (...values: number[]): Buffer => Buffer.from(values);
const alignDown = (value: number, unit: number): number => Math.floor(value / unit) * unit;

const labels: readonly Label[] = [
  {
    type: 'GPT',
    offsets: (size) => [size - 512, size - 4 * KiB],
    magics: [Buffer.from('EFI PART')],
  },
  {
    type: 'md RAID (0.90)',
    offsets: (size) => [alignDown(size, 64 * KiB) - 64 * KiB],
    magics: [bytes(0xfc, 0x4e, 0x2b, 0xa9), bytes(0xa9, 0x2b, 0x4e, 0xfc)],
  },
  {
    type: 'md RAID (1.0)',
    offsets: (size) => [alignDown(size - 8 * KiB, 4 * KiB)],
    magics: [bytes(0xfc, 0x4e, 0x2b, 0xa9)],
  },
  {
    type: 'ZFS',
    // The uberblocks, 1 KiB to 8 KiB each, fill the second half of either label.
    offsets: (size) =>
      [512 * KiB, 256 * KiB].flatMap((before) =>
        Array.from({ length: 128 }, (_, i) => alignDown(size, 256 * KiB) - before + (128 + i) * KiB),
      ),
    magics: [bytes(0x0c, 0xb1, 0xba, 0, 0, 0, 0, 0), bytes(0, 0, 0, 0, 0, 0xba, 0xb1, 0x0c)],
  },
  { type: 'DDF RAID', offsets: (size) => [size - 512], magics: [bytes(0xde, 0x11, 0xde, 0x11)] },
  { type: 'LSI RAID', offsets: (size) => [size - 512], magics: [Buffer.from('$XIDE$')] },
  {
    type: 'Intel RAID',
    offsets: (size) => [size - 1024],
    magics: [Buffer.from('Intel Raid ISM Cfg Sig. ')],
  },
  {
    type: 'nilfs2',
    offsets: (size) => [(Math.floor(size / (4 * KiB)) - 1) * 4 * KiB + 6],
    magics: [bytes(0x34, 0x34)],
  },
];

/** Labels between the end of the volume and the end of the device, one of each type. */
export async function findOldSignatures(
  fd: number,
  volumeSize: number,
  deviceSize: number,
): Promise<OldSignature[]> {
  const start = Math.max(volumeSize, alignDown(Math.max(0, deviceSize - probed), 4 * KiB));
  if (start >= deviceSize) return [];
  const data = Buffer.from(allocateSlab(deviceSize - start));
  await readBlocks(fd, [{ data, offset: start }], { hash: false });
  return labels.flatMap(({ type, offsets, magics }) => {
    const offset = offsets(deviceSize).find(
      (at) =>
        at >= start &&
        magics.some((magic) => data.subarray(at - start, at - start + magic.length).equals(magic)),
    );
    return offset === undefined ? [] : [{ type, offset }];
  });
}
