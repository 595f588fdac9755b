/** The mark that tells a partial file of this tool from a file of another program. */
import { getAttribute, setAttribute } from '../native/index.ts';
import { isErrno } from './errno.ts';

/**
 * Marks a partial file as one of ours. Its value is the inode's number, so that a copy does not count. The finished image
 * does not have it. Where a file system has no marks, a partial file is ours only if a usable journal names its inode.
 */
const mark = 'user.coldsnap.partial';

/** Errors of a file system without extended attributes. */
const noAttributes = ['EOPNOTSUPP', 'ENOTSUP', 'ENOSYS', 'EPERM'];

/** @param ino the file's inode number */
export function setMark(fd: number, ino: number): void {
  write(fd, String(ino));
}

export function removeMark(fd: number): void {
  write(fd, '');
}

/** @param ino the file's inode number */
export function isMarked(fd: number, ino: number): boolean {
  try {
    return getAttribute(fd, mark) === String(ino);
  } catch (error) {
    if (isErrno(error, ...noAttributes)) return false;
    throw error;
  }
}

function write(fd: number, value: string): void {
  try {
    setAttribute(fd, mark, value);
  } catch (error) {
    if (!isErrno(error, ...noAttributes)) throw error;
  }
}
