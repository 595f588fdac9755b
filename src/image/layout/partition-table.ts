/** Reads partition tables: GPT, and MBR (`dos`) with logical partitions. */
import type { ReadBytes } from './signatures.ts';

export interface Partition {
  /** From 1; the number at the end of its device's name. */
  readonly number: number;
  /** Byte offset on the disk. */
  readonly start: number;
  /** Bytes. */
  readonly size: number;
  /** Its purpose according to the table, such as `Linux filesystem`; the table's own code where it is not a common one. */
  readonly type: string;
}

interface PartitionTable {
  readonly type: 'gpt' | 'dos';
  /** Ascending by number. */
  readonly partitions: readonly Partition[];
}

const SECTOR = 512;
/** More entries than any disk has, and few enough to read. */
const MAX_ENTRIES = 128;

/** @returns undefined where there is none */
export async function readPartitionTable(read: ReadBytes): Promise<PartitionTable | undefined> {
  const record = await read(0, SECTOR);
  const entries = recordEntries(record);
  if (entries === undefined) return undefined;
  if (!entries.some(({ code }) => code === PROTECTIVE)) return readDos(read, entries);
  for (const sectorSize of [512, 4096]) {
    const partitions = await readGpt(read, sectorSize);
    if (partitions !== undefined) return { type: 'gpt', partitions };
  }
  return undefined;
}

// GPT

const guidTypes: Readonly<Record<string, string>> = {
  '0FC63DAF-8483-4772-8E79-3D69D8477DE4': 'Linux filesystem',
  '0657FD6D-A4AB-43C4-84E5-0933C84B4F4F': 'Linux swap',
  'E6D6D379-F507-44C2-A23C-238F2A3DF928': 'Linux LVM',
  'A19D880F-05FC-4D3B-A006-743F0F84911E': 'Linux RAID',
  'BC13C2FF-59E6-4262-A352-B275FD6F7172': 'Linux extended boot',
  '4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709': 'Linux root (x86-64)',
  'B921B045-1DF0-41C3-AF44-4C6F280D3FAE': 'Linux root (ARM-64)',
  'C12A7328-F81F-11D2-BA4B-00A0C93EC93B': 'EFI System',
  '21686148-6449-6E6F-744E-656564454649': 'BIOS boot',
  'E3C9E316-0B5C-4DB8-817D-F92DF00215AE': 'Microsoft reserved',
  'EBD0A0A2-B9E5-4433-87C0-68B6B72699C7': 'Microsoft basic data',
};

async function readGpt(read: ReadBytes, sectorSize: number): Promise<Partition[] | undefined> {
  const header = await read(sectorSize, 92);
  if (header.length < 92 || header.toString('latin1', 0, 8) !== 'EFI PART') return undefined;
  const first = Number(header.readBigUInt64LE(72)) * sectorSize;
  const count = Math.min(header.readUInt32LE(80), MAX_ENTRIES);
  const entrySize = header.readUInt32LE(84);
  if (entrySize < 128 || entrySize > 4096 || !Number.isSafeInteger(first)) return undefined;
  const entries = await read(first, count * entrySize);
  const partitions: Partition[] = [];
  for (let at = 0; at + 128 <= entries.length; at += entrySize) {
    const code = guid(entries.subarray(at, at + 16));
    if (/^[0-]+$/.test(code)) continue;
    const start = Number(entries.readBigUInt64LE(at + 32)) * sectorSize;
    const end = (Number(entries.readBigUInt64LE(at + 40)) + 1) * sectorSize;
    if (!Number.isSafeInteger(end) || end <= start) continue;
    const type = guidTypes[code] ?? code;
    partitions.push({ number: at / entrySize + 1, start, size: end - start, type });
  }
  return partitions;
}

/** The first three fields of a GUID are stored with their lowest byte first. */
function guid(bytes: Buffer): string {
  const swapped = [3, 2, 1, 0, 5, 4, 7, 6].map((at) => bytes[at]!);
  const hex = Buffer.from([...swapped, ...bytes.subarray(8)])
    .toString('hex')
    .toUpperCase();
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-');
}

// MBR

const PROTECTIVE = 0xee;
const extendedCodes: ReadonlySet<number> = new Set([0x05, 0x0f, 0x85]);

const codeTypes: Readonly<Record<number, string>> = {
  5: 'Extended',
  7: 'HPFS/NTFS/exFAT',
  11: 'W95 FAT32',
  12: 'W95 FAT32 (LBA)',
  14: 'W95 FAT16 (LBA)',
  15: "W95 Ext'd (LBA)",
  130: 'Linux swap / Solaris',
  131: 'Linux',
  133: 'Linux extended',
  142: 'Linux LVM',
  239: 'EFI (FAT-12/16/32)',
  253: 'Linux raid autodetect',
};

interface Entry {
  readonly code: number;
  /** Bytes, relative to what the record describes. */
  readonly start: number;
  readonly size: number;
}

/** The four entries; undefined unless this is a boot record with at least one, all plausible. */
function recordEntries(record: Buffer): Entry[] | undefined {
  if (record.length < SECTOR || record.readUInt16BE(510) !== 0x55aa) return undefined;
  const offsets = [446, 462, 478, 494];
  // The boot sector of a file system has code there, which would be flags of partitions.
  if (!offsets.every((at) => record[at] === 0 || record[at] === 0x80)) return undefined;
  const entries = offsets.map((at) => ({
    code: record[at + 4]!,
    start: record.readUInt32LE(at + 8) * SECTOR,
    size: record.readUInt32LE(at + 12) * SECTOR,
  }));
  return entries.some(isUsed) ? entries : undefined;
}

function isUsed({ code, size }: Entry): boolean {
  return code !== 0 && size > 0;
}

function partition(number: number, { code, start, size }: Entry, base = 0): Partition {
  return { number, start: base + start, size, type: codeTypes[code] ?? `0x${code.toString(16)}` };
}

async function readDos(read: ReadBytes, entries: readonly Entry[]): Promise<PartitionTable> {
  const partitions = entries.flatMap((entry, at) => (isUsed(entry) ? [partition(at + 1, entry)] : []));
  const extended = entries.find(({ code }) => extendedCodes.has(code));
  if (extended !== undefined) partitions.push(...(await readLogical(read, extended.start)));
  return { type: 'dos', partitions };
}

/** Logical partitions form a chain: each record has one, and where the next record is. */
async function readLogical(read: ReadBytes, extendedStart: number): Promise<Partition[]> {
  const partitions: Partition[] = [];
  let at = extendedStart;
  while (partitions.length < MAX_ENTRIES) {
    const [logical, next] = recordEntries(await read(at, SECTOR)) ?? [];
    if (logical === undefined || !isUsed(logical)) break;
    partitions.push(partition(5 + partitions.length, logical, at));
    if (next === undefined || !extendedCodes.has(next.code)) break;
    at = extendedStart + next.start;
  }
  return partitions;
}
