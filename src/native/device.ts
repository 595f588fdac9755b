import { close, constants, fstat, open } from 'node:fs';
import { promisify } from 'node:util';
import { addon, settled, toSystemCallError } from './addon.ts';
import { checkFd, checkPath, checkUint64 } from './validate.ts';

const openFd = promisify(open);
const closeFd = promisify(close);
const fstatFd = promisify(fstat);

/** A block device as the kernel describes it (BLKGETSIZE64, BLKSSZGET, BLKROGET). Sizes in bytes. */
export interface DeviceInfo {
  sizeBytes: number;
  logicalBlockSize: number;
  readOnly: boolean;
}

/** The identity of an inode, as stat() returned it before the open. */
export interface Inode {
  dev: bigint;
  ino: bigint;
  rdev: bigint;
}

/**
 * Opens a block device for reading and writing, exclusively (O_EXCL). `expect` is its inode as stat() returned it.
 * Resolves with the descriptor, which `fs.close` closes.
 *
 * Rejects with a SystemCallError: `EBUSY` (in use), `EROFS`, `EACCES`, …; `EINODECHANGED` when the opened file is not
 * `expect` or not a block device. Nothing stays open then.
 */
export async function openExclusive(path: string, expect: Inode): Promise<number> {
  checkPath(path);
  checkUint64('expect.dev', expect.dev);
  checkUint64('expect.ino', expect.ino);
  checkUint64('expect.rdev', expect.rdev);
  // By Node, which closes what it has opened when the thread is terminated: a claim would last until the process ends.
  const fd = await settled(openFd(path, constants.O_RDWR | constants.O_EXCL | constants.O_NOCTTY), path);
  try {
    const stats = await settled(fstatFd(fd, { bigint: true }), path);
    const { dev, ino, rdev } = expect;
    const expected = stats.dev === dev && stats.ino === ino && stats.rdev === rdev;
    if (expected && stats.isBlockDevice()) return fd;
  } catch (error) {
    await closeFd(fd);
    throw error;
  }
  await closeFd(fd);
  const changed = { errno: 0, syscall: 'open', code: 'EINODECHANGED' };
  throw toSystemCallError(Object.assign(new Error(changed.code), changed), path);
}

/** Rejects with `ENOTTY` when the descriptor is not a block device. */
export async function deviceInfo(fd: number): Promise<DeviceInfo> {
  checkFd(fd);
  return settled(addon().deviceInfo(fd));
}

/**
 * The file or device behind a loop device (LOOP_GET_STATUS64), as stat() described it when it was attached. Resolves with null
 * for a loop device without one, and for other devices.
 */
export async function loopFile(fd: number): Promise<Inode | null> {
  checkFd(fd);
  return settled(addon().loopFile(fd));
}

/**
 * Asks the kernel to read the partition table again (BLKRRPART). Resolves with false when it cannot: a partition is in
 * use (EBUSY), or the device has no partitions (EINVAL, ENOTTY). Rejects with other errors (`EACCES`, `EIO`).
 */
export async function rereadPartitionTable(fd: number): Promise<boolean> {
  checkFd(fd);
  return settled(addon().rereadPartitionTable(fd));
}
