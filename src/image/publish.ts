/** The final step of a restore to a file: it gets its name, durably. */
import { constants, type Stats } from 'node:fs';
import { link, lstat, rename, rmdir, stat, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { syncAll } from '../native/index.ts';
import { Descriptor } from './descriptor.ts';
import { isErrno, localError } from './errno.ts';
import { targetAppeared, targetNotReplaceable } from './messages/targets.ts';

/** Errors of a file system without hard links. */
export const noLinks = ['EPERM', 'EOPNOTSUPP', 'ENOTSUP', 'ENOSYS', 'EMLINK', 'EINVAL'];

/**
 * Checks that a regular file may be replaced, so that a download does not find out in its last step. rmdir() fails for any
 * file, but first with EPERM for one that may not be removed: of another user in a directory such as /tmp, or immutable.
 * @throws ColdsnapError `EPERM`
 */
export async function checkReplaceable(target: string, file: string): Promise<void> {
  try {
    await rmdir(file);
  } catch (error) {
    if (isErrno(error, 'EPERM')) throw targetNotReplaceable(target, error);
  }
}

/**
 * Renames a file and makes that durable. With `replace` by rename(), which replaces a file atomically; else by link(),
 * which, unlike a check and a rename(), cannot replace a file that is created at that moment. (renameat2 with
 * RENAME_NOREPLACE would do it in one call; Node does not offer it.) A kill between link and unlink leaves both names on
 * the finished file, which does no harm.
 * @param target the target as the user named it, for messages
 * @throws ColdsnapError `TARGET_EXISTS`
 */
export async function publishFile(
  target: string,
  path: string,
  file: string,
  { replace }: { replace: boolean },
): Promise<void> {
  try {
    if (replace) {
      await rename(path, file);
    } else if (await linkIfPossible(target, path, file)) {
      // A run that starts now finds the finished file by its journal, and may have removed the old name.
      await unlink(path).catch((error) => {
        if (!isErrno(error, 'ENOENT')) throw error;
      });
    } else {
      // A file system without hard links (FAT, some network ones): the gap between check and rename stays.
      if (await exists(file)) throw targetAppeared(target);
      await rename(path, file);
    }
  } catch (error) {
    throw localError(error, `rename ${path} to ${file}`, target);
  }
  await syncDirectory(dirname(file), target);
}

/** Finishes a {@link publishFile} that was killed: removes the old name, if it is still there, and syncs the directory. */
export async function finishPublishing(target: string, path: string, file: string): Promise<void> {
  try {
    const [partial, published] = await Promise.all([lstat(path), lstat(file)]);
    if (partial.ino === published.ino && partial.dev === published.dev) await unlink(path);
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw localError(error, `remove ${path}`, target);
  }
  await syncDirectory(dirname(file), target);
}

/** The inode and its last write: a file of that name that was written later is no longer the image. */
export function fileStamp({ dev, ino, size, mtimeMs }: Stats): string {
  return `${dev}:${ino}:${size}:${mtimeMs}`;
}

/** @param stamp of the file before it was published */
export async function isPublished(file: string, stamp: string): Promise<boolean> {
  const existing = await stat(file).catch(() => undefined);
  return existing !== undefined && fileStamp(existing) === stamp;
}

/** Gives the file a second name; false where the file system has no hard links. */
async function linkIfPossible(target: string, path: string, file: string): Promise<boolean> {
  try {
    await link(path, file);
    return true;
  } catch (error) {
    if (isErrno(error, 'EEXIST')) throw targetAppeared(target);
    if (isErrno(error, ...noLinks)) return false;
    throw error;
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return false;
    throw error;
  }
}

/** A new name is durable only when its directory is. */
export async function syncDirectory(directory: string, target: string): Promise<void> {
  let descriptor: Descriptor | undefined;
  try {
    descriptor = await Descriptor.open(directory, constants.O_RDONLY | constants.O_DIRECTORY);
    await descriptor.use(`sync the directory ${directory}`, (fd) => syncAll(fd));
  } catch (error) {
    // Some network file systems cannot sync directories, and then need not.
    if (!isErrno(error, 'EINVAL')) throw localError(error, `sync the directory ${directory}`, target);
  } finally {
    await descriptor?.close();
  }
}
