/** A stamp shows whether a file was written: by its change time. */
import { type BigIntStats, fstat } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import { syncAll } from '../native/index.ts';
import type { Descriptor } from './descriptor.ts';
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
