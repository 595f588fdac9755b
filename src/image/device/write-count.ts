/**
 * The kernel's count of what was written to a device. Devices have no modification time; this tells whether another
 * program has written meanwhile.
 */
import { readFile } from 'node:fs/promises';
import { deviceNumber, type KernelFiles, kernelFiles } from './identity.ts';
import { namesIn, textOf } from './storage.ts';

const SECTOR = 512;
/** Indexes in a device's `stat`. */
const SECTORS_READ = 2;
const SECTORS_WRITTEN = 6;

/**
 * A stamp of the device's write count, valid until the machine boots or the device is attached again; undefined where the
 * kernel does not count. Words: boot, device number, number of the attachment (empty before Linux 5.15), sectors.
 */
export async function readWriteCount(
  rdev: bigint,
  files: KernelFiles = kernelFiles,
): Promise<string | undefined> {
  const number = deviceNumber(rdev);
  const directory = `${files.sys}/dev/block/${number}`;
  const [boot, own, ofDisk, counting, countingOfDisk, disk, parent] = await Promise.all(
    [
      `${files.proc}/sys/kernel/random/boot_id`,
      `${directory}/stat`,
      // A partition's disk has the rest.
      `${directory}/../stat`,
      `${directory}/queue/iostats`,
      `${directory}/../queue/iostats`,
      `${directory}/diskseq`,
      `${directory}/../diskseq`,
    ].map((path) => readFile(path, 'utf8').catch(() => '')),
  );
  const [sectors, read] = sectorsOf(own);
  // A driver that does not count reports 0 of both. A new disk was at least read, by the search for partitions.
  const counted = sectors > 0 || (sectors === 0 && (read > 0 || sectorsOf(ofDisk)[1] > 0));
  if (!boot || !counted || (counting || countingOfDisk)?.trim() === '0') return undefined;
  return [boot.trim(), number, (disk || parent || '').trim(), sectors].join(' ');
}

/** A count that was read while it may have changed. */
export interface Bounds {
  readonly least: number;
  readonly most: number;
}

/**
 * How many sectors were written to a partition's disk, but through none of its partitions; undefined for a whole disk.
 * Such a write may have changed the partition, whose own count does not have it.
 */
export function readBypassCount(rdev: bigint, files: KernelFiles = kernelFiles): Bounds | undefined {
  const directory = `${files.sys}/dev/block/${deviceNumber(rdev)}`;
  if (textOf(`${directory}/partition`) === '') return undefined;
  const disk = `${directory}/..`;
  const partitions = namesIn(disk).filter((name) => textOf(`${disk}/${name}/partition`) !== '');
  const sum = () =>
    partitions.reduce((total, name) => total + sectorsOf(textOf(`${disk}/${name}/stat`))[0], 0);
  const before = sum();
  const [ofDisk] = sectorsOf(textOf(`${disk}/stat`));
  const least = ofDisk - sum();
  return Number.isNaN(least) ? undefined : { least, most: ofDisk - before };
}

function sectorsOf(statistics = ''): [written: number, read: number] {
  const counts = statistics.trim().split(/\s+/).map(Number);
  return [counts[SECTORS_WRITTEN] ?? Number.NaN, counts[SECTORS_READ] ?? Number.NaN];
}

/** Bytes written since a stamp; undefined where that is unknown. */
export async function writtenSince(
  stamp: string,
  rdev: bigint,
  files: KernelFiles = kernelFiles,
): Promise<number | undefined> {
  const now = await readWriteCount(rdev, files);
  const [epoch, before] = split(stamp);
  if (now === undefined || !Number.isSafeInteger(before) || before < 0) return undefined;
  const [epochNow, after] = split(now);
  return epochNow === epoch && after >= before ? (after - before) * SECTOR : undefined;
}

function split(stamp: string): [epoch: string, sectors: number] {
  const at = stamp.lastIndexOf(' ');
  return [stamp.slice(0, at), at < 0 ? Number.NaN : Number(stamp.slice(at + 1))];
}
