/** Reads the label of an NTFS volume, which is not in its boot sector but in its master file table. */
import type { Contents, ReadBytes } from './signatures.ts';

/** The record of $Volume, the file whose attributes describe the volume. */
const VOLUME_RECORD = 3;
/** The type of the attribute that holds the label, in UTF-16. */
const VOLUME_NAME = 0x60;
const END_OF_ATTRIBUTES = 0xffffffff;
/** A record's last two bytes in each part of this size are stored at its beginning, so that a torn write is noticed. */
const FIXUP_STRIDE = 512;
const MAX_RECORD = 4096;

/** The contents of an NTFS volume that begins with `boot`. Without a readable label, only their type. */
export async function ntfs(boot: Buffer, read: ReadBytes): Promise<Contents> {
  const type = 'ntfs';
  if (boot.length < 512) return { type };
  const cluster = boot.readUInt16LE(11) * sectorsPerCluster(boot.readUInt8(13));
  const perRecord = boot.readInt8(64);
  const recordBytes = perRecord > 0 ? perRecord * cluster : 2 ** -perRecord;
  const at = Number(boot.readBigUInt64LE(48)) * cluster + VOLUME_RECORD * recordBytes;
  if (recordBytes > MAX_RECORD || !Number.isSafeInteger(at)) return { type };
  const label = volumeName(await read(at, recordBytes));
  return label === undefined || label === '' ? { type } : { type, label };
}

/** More than 128 are stored as a negative power of two. */
function sectorsPerCluster(stored: number): number {
  return stored <= 128 ? stored : 2 ** (256 - stored);
}

/** The label in a record of the master file table; undefined if there is none, or the record is not valid. */
function volumeName(stored: Buffer): string | undefined {
  const record = withoutFixups(stored);
  if (record === undefined) return undefined;
  let at = record.readUInt16LE(20);
  while (at + 24 <= record.length) {
    const type = record.readUInt32LE(at);
    const length = record.readUInt32LE(at + 4);
    if (type === END_OF_ATTRIBUTES || length < 24) return undefined;
    if (type === VOLUME_NAME) {
      const from = at + record.readUInt16LE(at + 20);
      return record.toString('utf16le', from, from + record.readUInt32LE(at + 16));
    }
    at += length;
  }
  return undefined;
}

/** A copy of a record with the bytes that were moved to its beginning put back. */
function withoutFixups(stored: Buffer): Buffer | undefined {
  if (stored.length < FIXUP_STRIDE || stored.toString('latin1', 0, 4) !== 'FILE') return undefined;
  const record = Buffer.from(stored);
  const moved = record.readUInt16LE(4);
  const strides = Math.floor(record.length / FIXUP_STRIDE);
  if (moved + 2 * (strides + 1) > record.length) return undefined;
  for (let stride = 1; stride <= strides; stride++) {
    const end = stride * FIXUP_STRIDE - 2;
    // The bytes in their place repeat the number that precedes those that were moved.
    if (record.readUInt16LE(end) !== record.readUInt16LE(moved)) return undefined;
    record.copy(record, end, moved + 2 * stride, moved + 2 * stride + 2);
  }
  return record;
}
