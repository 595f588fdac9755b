/**
 * How much has been written to a device since a moment, by the kernel's own count. A device has no time of its last
 * change as files have; this tells whether anybody has used it meanwhile.
 */
import { readFile } from 'node:fs/promises';
import { deviceNumber, type KernelFiles, kernelFiles } from './users.ts';

const SECTOR = 512;
/** Of the numbers in a device's `stat`: sectors written. */
const SECTORS_WRITTEN = 6;

/** A moment in the life of a device; only good until the machine is booted or the device attached anew. */
export async function readWriteCount(
  rdev: bigint,
  files: KernelFiles = kernelFiles,
): Promise<string | undefined> {
  const number = deviceNumber(rdev);
  const directory = `${files.sys}/dev/block/${number}`;
  const [boot, statistics, disk, parent] = await Promise.all(
    [
      `${files.proc}/sys/kernel/random/boot_id`,
      `${directory}/stat`,
      `${directory}/diskseq`,
      // A partition's disk has it.
      `${directory}/../diskseq`,
    ].map((path) => readFile(path, 'utf8').catch(() => '')),
  );
  const sectors = Number(statistics?.trim().split(/\s+/)[SECTORS_WRITTEN]);
  // A kernel that was told not to count says 0.
  if (!boot || !(sectors > 0)) return undefined;
  return [boot.trim(), number, (disk || parent || '').trim(), sectors].join(' ');
}

/** Bytes written since a mark; undefined where that cannot be told. */
export async function writtenSince(
  mark: string,
  rdev: bigint,
  files: KernelFiles = kernelFiles,
): Promise<number | undefined> {
  const now = await readWriteCount(rdev, files);
  const [life, before] = split(mark);
  if (now === undefined || !Number.isSafeInteger(before) || before < 0) return undefined;
  const [sameLife, after] = split(now);
  return sameLife === life && after >= before ? (after - before) * SECTOR : undefined;
}

function split(mark: string): [life: string, sectors: number] {
  const at = mark.lastIndexOf(' ');
  return [mark.slice(0, at), at < 0 ? Number.NaN : Number(mark.slice(at + 1))];
}
