/**
 * The kernel's count of what was written to a device. Devices have no modification time; this tells whether another
 * program has written meanwhile.
 */
import { readFile } from 'node:fs/promises';
import { deviceNumber, type KernelFiles, kernelFiles } from './identity.ts';

const SECTOR = 512;
/** Index of the sectors written in a device's `stat`. */
const SECTORS_WRITTEN = 6;

/**
 * A stamp of the device's write count, valid until the machine boots or the device is attached again; undefined where the
 * kernel does not count.
 */
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
  // A kernel that is configured not to count reports 0.
  if (!boot || !(sectors > 0)) return undefined;
  return [boot.trim(), number, (disk || parent || '').trim(), sectors].join(' ');
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
