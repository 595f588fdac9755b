/** The mark that tells a partial file of this tool from a file of another program. */
import { type AttributeName, getAttribute, setAttribute } from '../native/index.ts';
import { isErrno } from './errno.ts';

/**
 * Marks a partial file as one of ours. Its value is the inode's number, so that a copy does not count. The finished image
 * does not have it. Where a file system has no marks, a partial file is ours only if a usable journal names its inode.
 */
const mark = 'user.coldsnap.partial';

/** The same for an image that is being changed in place: it held data that the user may want. */
const between = 'user.coldsnap.between';

/** Errors of a file system without extended attributes. */
const noAttributes = ['EOPNOTSUPP', 'ENOTSUP', 'ENOSYS', 'EPERM'];

/** @param ino the file's inode number */
export function setMark(fd: number, ino: number): void {
  write(fd, mark, String(ino));
}

/** @param ino the file's inode number */
export function setBetween(fd: number, ino: number): void {
  write(fd, between, String(ino));
}

export function removeMark(fd: number): void {
  write(fd, mark, '');
  write(fd, between, '');
}

/** @param ino the file's inode number */
export function isMarked(fd: number, ino: number): boolean {
  return read(fd, mark) === String(ino);
}

/** @param ino the file's inode number */
export function isBetween(fd: number, ino: number): boolean {
  return read(fd, between) === String(ino);
}

/**
 * Whether the file is marked as in between, or its file system has no marks.
 * @param ino the file's inode number
 */
export function mayBeBetween(fd: number, ino: number): boolean {
  return mayHave(fd, between, ino);
}

/**
 * Whether the file has a mark, or its file system has none: a file of another program may have got the inode number.
 * @param ino the file's inode number
 */
export function mayBeOurs(fd: number, ino: number): boolean {
  return mayHave(fd, mark, ino) || mayHave(fd, between, ino);
}

function mayHave(fd: number, name: AttributeName, ino: number): boolean {
  try {
    return getAttribute(fd, name) === String(ino);
  } catch (error) {
    if (isErrno(error, ...noAttributes)) return true;
    throw error;
  }
}

function read(fd: number, name: AttributeName): string {
  try {
    return getAttribute(fd, name);
  } catch (error) {
    if (isErrno(error, ...noAttributes)) return '';
    throw error;
  }
}

function write(fd: number, name: AttributeName, value: string): void {
  try {
    setAttribute(fd, name, value);
  } catch (error) {
    if (!isErrno(error, ...noAttributes)) throw error;
  }
}
