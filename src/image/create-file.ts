/** Creates a file that is marked as one of this tool before it has a name. */
import { closeSync, constants, fstatSync, openSync, unlinkSync } from 'node:fs';
import { dirname } from 'node:path';
import { linkFile } from '../native/index.ts';
import { isErrno } from './errno.ts';

const { O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_RDWR } = constants;
/** Not among Node's constants; the same number on x64 and arm64. */
const O_TMPFILE = 0o20000000 | O_DIRECTORY;

/**
 * Creates a file for its owner alone. A kill leaves no file that is not marked, except on file systems without unnamed files,
 * and there only in the moment before the mark. Open it by its name: a descriptor that was there before the name shows up as
 * that of a deleted file.
 *
 * @param mark makes the file recognizable, synchronously
 * @throws the error of a system call, such as `EEXIST`
 */
export function createMarked(path: string, mark: (fd: number) => void): void {
  if (!createUnnamed(path, mark)) createNamed(path, mark);
}

/** False where the file system, or a missing /proc, does not permit it. */
function createUnnamed(path: string, mark: (fd: number) => void): boolean {
  let fd: number;
  try {
    fd = openSync(dirname(path), O_RDWR | O_TMPFILE, 0o600);
  } catch {
    // If it is another error, creating the file with its name fails, too.
    return false;
  }
  try {
    mark(fd);
    return linkIfPossible(fd, path);
  } finally {
    closeSync(fd);
  }
}

/**
 * The permissions that a new file of a directory gets, by the umask or the directory's default access control list; undefined
 * where the file system does not tell.
 */
export function newFileMode(directory: string): number | undefined {
  let fd: number;
  try {
    fd = openSync(directory, O_RDWR | O_TMPFILE, 0o666);
  } catch {
    return undefined;
  }
  try {
    return fstatSync(fd).mode & 0o777;
  } finally {
    closeSync(fd);
  }
}

function linkIfPossible(fd: number, path: string): boolean {
  try {
    linkFile(fd, path);
    return true;
  } catch (error) {
    if (isErrno(error, 'EEXIST')) throw error;
    return false;
  }
}

function createNamed(path: string, mark: (fd: number) => void): void {
  const fd = openSync(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
  try {
    mark(fd);
  } catch (error) {
    unlinkSync(path);
    throw error;
  } finally {
    closeSync(fd);
  }
}
