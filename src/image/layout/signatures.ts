/**
 * Recognizes file systems and other formats by the bytes at their beginning. Types are named as libblkid names them. Needs
 * no udev, and works where there is no device to ask: in an image, or in blocks of a snapshot.
 */

import { ntfs } from './ntfs.ts';

/** Reads bytes at an offset; fewer, or none, where they do not exist or are not known. */
export type ReadBytes = (offset: number, length: number) => Promise<Buffer>;

/** A format, such as a file system. */
export interface Contents {
  /** For example `ext4`, `swap` or `LVM2_member`. */
  readonly type: string;
  /** The label of a file system, as it is stored: it may contain control characters. */
  readonly label?: string;
}

/** The last magic number ends here: btrfs's, and that of swap with pages of 64 KiB. */
const PROBED = 68 * 1024;

/** Recognizes a format by its first bytes; `read` reads more of it, at offsets from its beginning. */
type Recognize = (data: Buffer, read: ReadBytes) => Contents | undefined | Promise<Contents | undefined>;

/** Formats in the order in which they are tried: those that others could be mistaken for come last. */
const formats: readonly Recognize[] = [
  (data) => (hasText(data, 0, 'LUKS\xba\xbe') ? luks(data) : undefined),
  (data) => ([0, 512, 1024, 1536].some((at) => isLvmLabel(data, at)) ? { type: 'LVM2_member' } : undefined),
  (data) =>
    [0, 4096].some((at) => u32(data, at) === 0xa92b4efc) ? { type: 'linux_raid_member' } : undefined,
  (data) => (hasText(data, 0, 'XFSB') ? named('xfs', data, 108, 12) : undefined),
  (data) => (hasText(data, 65_600, '_BHRfS_M') ? named('btrfs', data, 65_835, 256) : undefined),
  (data) => (hasText(data, 0, 'hsqs') ? { type: 'squashfs' } : undefined),
  (data) => (hasText(data, 32_769, 'CD001') ? named('iso9660', data, 32_808, 32) : undefined),
  (data) => (u32(data, 1024) === 0xf2f52010 ? { type: 'f2fs' } : undefined),
  swap,
  (data) => (data.length > 1082 && data.readUInt16LE(1080) === 0xef53 ? ext(data) : undefined),
  (data, read) => (hasText(data, 3, 'NTFS    ') ? ntfs(data, read) : undefined),
  (data) => (hasText(data, 3, 'EXFAT   ') ? { type: 'exfat' } : undefined),
  fat,
];

/** The format that begins at `offset`; undefined if none is recognized. */
export async function recognize(read: ReadBytes, offset: number): Promise<Contents | undefined> {
  const within: ReadBytes = (at, length) => read(offset + at, length);
  const data = await within(0, PROBED);
  for (const format of formats) {
    const found = await format(data, within);
    if (found !== undefined) return found;
  }
  return undefined;
}

function hasText(data: Buffer, at: number, text: string): boolean {
  return data.toString('latin1', at, at + text.length) === text;
}

function u32(data: Buffer, at: number): number | undefined {
  return data.length >= at + 4 ? data.readUInt32LE(at) : undefined;
}

/** A label ends at its first NUL, or is padded with spaces. */
function named(type: string, data: Buffer, at: number, length: number): Contents {
  const label = data
    .toString('utf8', at, at + length)
    .split('\0', 1)[0]!
    .trimEnd();
  return label === '' ? { type } : { type, label };
}

function luks(data: Buffer): Contents {
  const version = data.length > 8 ? data.readUInt16BE(6) : 1;
  return version === 2 ? named('crypto_LUKS', data, 24, 48) : { type: 'crypto_LUKS' };
}

function isLvmLabel(data: Buffer, at: number): boolean {
  return hasText(data, at, 'LABELONE') && hasText(data, at + 24, 'LVM2 001');
}

/** At the end of the first page, whose size is the machine's. */
function swap(data: Buffer): Contents | undefined {
  const found = [4, 8, 16, 32, 64].some((kib) => hasText(data, kib * 1024 - 10, 'SWAPSPACE2'));
  return found ? named('swap', data, 1052, 16) : undefined;
}

/** ext2 has no journal; ext4 has features that ext3 does not know. */
function ext(data: Buffer): Contents {
  const compatible = u32(data, 1116) ?? 0;
  const incompatible = u32(data, 1120) ?? 0;
  const readOnlyCompatible = u32(data, 1124) ?? 0;
  const onlyExt4 = (incompatible & ~0x16) !== 0 || (readOnlyCompatible & ~0x7) !== 0;
  const type = onlyExt4 ? 'ext4' : (compatible & 0x4) !== 0 ? 'ext3' : 'ext2';
  return named(type, data, 1144, 16);
}

function fat(data: Buffer): Contents | undefined {
  if (!hasText(data, 510, '\x55\xaa')) return undefined;
  const at = hasText(data, 82, 'FAT32   ')
    ? 71
    : hasText(data, 54, 'FAT12   ') || hasText(data, 54, 'FAT16   ')
      ? 43
      : undefined;
  if (at === undefined) return undefined;
  const { label } = named('vfat', data, at, 11);
  return label === undefined || label === 'NO NAME' ? { type: 'vfat' } : { type: 'vfat', label };
}
