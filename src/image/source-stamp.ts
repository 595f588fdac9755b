/** Stamps show whether a source was written: a file's change time, a device's count of sectors written. */
import { type BigIntStats, fstat } from 'node:fs';
import { readdir, readFile, stat, statfs } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import { syncAll } from '../native/index.ts';
import type { Descriptor } from './descriptor.ts';
import { deviceNumber, type KernelFiles, kernelFiles } from './device/identity.ts';
import { type Bounds, readBypassCount, readWriteCount } from './device/write-count.ts';
import { isErrno } from './errno.ts';

const fstatFd = promisify(fstat);

const second = 1_000_000_000n;
/** The kernel's clock for file times ticks every 1 to 10 ms. */
const tick = 20_000_000n;

/**
 * File systems on which a write need not change the change time that is seen here: mapped pages of memory file systems, FAT
 * (whose change time can be set), and those whose files other machines or programs write.
 */
const withoutTrace: ReadonlySet<number> = new Set([
  0x01021994, // tmpfs
  0x858458f6, // ramfs
  0x958458f6, // hugetlbfs
  0x4d44, // FAT
  0x2011bab0, // exFAT
  0x6969, // NFS
  0x517b, // SMB
  0xff534d42, // CIFS
  0xfe534d42, // SMB2
  0x65735546, // FUSE
  0x01021997, // 9P
  0x00c36400, // Ceph
]);

interface FileStamp {
  readonly stats: BigIntStats;
  /** Equal stamps prove that nothing was written in between; undefined where they would not. */
  readonly stamp: string | undefined;
}

/**
 * Flushes a file and describes it. Waits until its change time is older than the clock's tick: within the tick, another
 * write would not change it.
 */
export async function fileStamp(descriptor: Descriptor): Promise<FileStamp> {
  for (let attempts = 1; ; attempts++) {
    // From then on, the first write to a mapped page changes the time.
    await flush(descriptor);
    const stats = await statOf(descriptor);
    const { dev, ino, size, ctimeNs } = stats;
    const age = BigInt(Date.now()) * 1_000_000n - ctimeNs;
    const granule = ctimeNs % second === 0n ? 2n * second : tick;
    if (age > granule) {
      const stamp = (await leavesTrace(descriptor)) ? `file:${dev}:${ino}:${size}:${ctimeNs}` : undefined;
      return { stats, stamp };
    }
    // From the future, or written all the time.
    if (age < -granule || attempts === 3) return { stats, stamp: undefined };
    await pause(Number((granule - age) / 1_000_000n) + 1);
  }
}

export function statOf(descriptor: Descriptor): Promise<BigIntStats> {
  return descriptor.use(`examine ${descriptor.path}`, (fd) => fstatFd(fd, { bigint: true }));
}

/** Writes dirty pages of a file or device to it. */
export async function flush(descriptor: Descriptor): Promise<void> {
  await descriptor.use(`sync ${descriptor.path}`, async (fd) => {
    try {
      await syncAll(fd);
    } catch (error) {
      // A file system that is read-only, or has nothing to flush.
      if (!isErrno(error, 'EROFS', 'EINVAL')) throw error;
    }
  });
}

async function leavesTrace(descriptor: Descriptor): Promise<boolean> {
  return descriptor.use(`examine ${descriptor.path}`, async (fd) => {
    const type = await statfs(`/proc/self/fd/${fd}`).then(
      (found) => found.type,
      () => undefined,
    );
    return type !== undefined && !withoutTrace.has(type);
  });
}

export interface DeviceStamp {
  /** Differs after a write to the device, or to the file behind a loop device. */
  readonly own: string;
  /**
   * Differs also after a write to the disk of a partition, or to the devices of which it is made. These have other users, so
   * a difference does not prove a change.
   */
  readonly stamp: string;
  /** For a partition: what was written to its disk through no partition. */
  readonly bypass: Bounds | undefined;
}

/** Whether a device was written between two stamps; where there are none, nothing is known. */
export function wasWritten(before: DeviceStamp | undefined, after: DeviceStamp | undefined): boolean {
  if (before === undefined) return false;
  if (before.own !== after?.own) return true;
  return before.bypass !== undefined && (after.bypass?.least ?? Infinity) > before.bypass.most;
}

/** Flush first. Undefined where the kernel does not count writes. */
export async function deviceStamp(
  rdev: bigint,
  files: KernelFiles = kernelFiles,
): Promise<DeviceStamp | undefined> {
  const directory = `${files.sys}/dev/block/${deviceNumber(rdev)}`;
  const count = await readWriteCount(rdev, files);
  if (count === undefined) return undefined;
  const own = [count, await backingFile(directory)].filter((part) => part !== '').join(' ');
  const partition = await readFile(`${directory}/partition`, 'utf8').catch(() => '');
  const below = partition === '' ? await slaves(directory) : [`${directory}/..`];
  const counts = await Promise.all(below.map((path) => sectorsWritten(path)));
  const stamp = ['device:', own, ...counts].join(' ');
  return { own, stamp, bypass: readBypassCount(rdev, files) };
}

/** The file behind a loop device: its own writers are not counted. */
async function backingFile(directory: string): Promise<string> {
  const path = (await readFile(`${directory}/loop/backing_file`, 'utf8').catch(() => '')).trimEnd();
  if (path === '') return '';
  const found = await stat(path, { bigint: true }).catch(() => undefined);
  return found === undefined ? '' : `${found.dev}:${found.ino}:${found.ctimeNs}`;
}

async function slaves(directory: string): Promise<string[]> {
  const names = await readdir(`${directory}/slaves`).catch(() => []);
  const paths = names.sort().map((name) => `${directory}/slaves/${name}`);
  return [...paths, ...(await Promise.all(paths.map(slaves))).flat()];
}

async function sectorsWritten(directory: string): Promise<string> {
  return (await readFile(`${directory}/stat`, 'utf8').catch(() => '')).trim().split(/\s+/)[6] ?? '';
}
