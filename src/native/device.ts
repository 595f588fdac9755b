import { addon, settled } from './addon.ts';
import { checkBoolean, checkFd, checkPath, checkUint64 } from './validate.ts';

/** What the kernel says of a block device (BLKGETSIZE64, BLKSSZGET, BLKPBSZGET, BLKROGET). Sizes in bytes. */
export interface DeviceInfo {
  sizeBytes: number;
  logicalBlockSize: number;
  physicalBlockSize: number;
  readOnly: boolean;
}

/** Inode identity as stat() saw it before the open. */
export interface Inode {
  dev: bigint;
  ino: bigint;
  rdev: bigint;
}

/**
 * Opens a block device that stat() has looked at before; resolves with the descriptor, which `fs.close` closes.
 * - `write`: for reading and writing, and exclusively (O_EXCL), else for reading.
 * - `direct`: with O_DIRECT; without it where the device does not know it.
 *
 * Rejects with a SystemCallError: `EBUSY` (in use), `EROFS`, `EACCES`, …; `EINODECHANGED` when what was opened is not
 * `expect` or not a block device; nothing stays open then.
 */
export async function openExclusive(
  path: string,
  options: { write: boolean; direct: boolean; expect: Inode },
): Promise<number> {
  checkPath(path);
  const { write, direct, expect } = options;
  checkBoolean('write', write);
  checkBoolean('direct', direct);
  checkUint64('expect.dev', expect.dev);
  checkUint64('expect.ino', expect.ino);
  checkUint64('expect.rdev', expect.rdev);
  return settled(addon().openExclusive(path, write, direct, expect.dev, expect.ino, expect.rdev), path);
}

/** Rejects with `ENOTTY` when the descriptor is not a block device. */
export async function deviceFacts(fd: number): Promise<DeviceInfo> {
  checkFd(fd);
  return settled(addon().deviceFacts(fd));
}

/**
 * Asks the kernel to read the partition table again (BLKRRPART). Resolves with false when it cannot: a partition is in
 * use (EBUSY), or the device has no partitions (EINVAL, ENOTTY). Rejects with other errors (`EACCES`, `EIO`).
 */
export async function rereadPartitionTable(fd: number): Promise<boolean> {
  checkFd(fd);
  return settled(addon().rereadPartitionTable(fd));
}
