import { describeErrno, errnoHint } from '../errno.ts';
import type { SystemErrorCode } from '../error-codes.ts';
import { ColdsnapError, isError } from '../errors.ts';
import { formatBytes } from '../text.ts';
import { addon, type SystemCallError, settled, toSystemCallError } from './addon.ts';
import { checkBytes, checkData, checkFd, checkPath, checkRange } from './validate.ts';

/** A run of data in a file: from byte `start` up to, not including, `end`. */
export interface Extent {
  start: number;
  end: number;
}

/**
 * Zeroed memory that begins on a page (so on 4 KiB), for O_DIRECT; its own mapping, freed when it is collected. It
 * cannot be transferred to another thread. `bytes` is 1 … 2^53-1.
 * @throws ColdsnapError `ENOMEM`
 */
export function allocateSlab(bytes: number): ArrayBuffer {
  checkBytes('bytes', bytes, 1);
  const slab = addon().allocateSlab(bytes);
  if (isError(slab)) {
    const code = (toSystemCallError(slab) as SystemCallError).code as SystemErrorCode;
    const message = `could not allocate ${formatBytes(bytes)} of memory: ${describeErrno(code)}`;
    throw new ColdsnapError('local', code, message, { hint: errnoHint(code), cause: slab });
  }
  // Node already refuses to transfer external memory. markAsUntransferable would make Node 24 abort at exit, because it then
  // cannot detach the buffer.
  return slab;
}

/** fdatasync: resolves when the written data (and the size) are on stable storage. */
export async function syncData(fd: number): Promise<void> {
  checkFd(fd);
  return settled(addon().syncData(fd));
}

/** fsync: data and all metadata; for directories too. */
export async function syncAll(fd: number): Promise<void> {
  checkFd(fd);
  return settled(addon().syncAll(fd));
}

/**
 * Takes an exclusive flock without waiting. False when another open file description holds one. Closing the descriptor,
 * or the end of the process, releases it.
 * @throws SystemCallError
 */
export function tryLock(fd: number): boolean {
  checkFd(fd);
  const locked = addon().tryLock(fd);
  if (isError(locked)) throw toSystemCallError(locked);
  return locked;
}

/**
 * The next run of data at or after `offset` (SEEK_DATA, SEEK_HOLE), or null when only a hole follows, or nothing. A file
 * system or device without hole detection reports everything as data. Moves the descriptor's file position.
 * Call syncAll first: some file systems see unwritten pages as holes.
 */
export async function nextExtent(fd: number, offset: number): Promise<Extent | null> {
  checkFd(fd);
  checkBytes('offset', offset);
  return settled(addon().nextExtent(fd, offset));
}

/**
 * Drops the clean cached pages of a range, so that the next read comes from the medium (POSIX_FADV_DONTNEED). Sync
 * first: dirty pages stay. Length 0 means to the end.
 */
export async function dropCache(fd: number, offset: number, length: number): Promise<void> {
  checkFd(fd);
  checkRange(offset, length);
  return settled(addon().dropCache(fd, offset, length));
}

/** Whether all bytes are zero (true of no bytes). Scans about 10 GiB/s and more; stops at the first that is not. */
export function isZero(data: Uint8Array): boolean {
  checkData('data', data);
  return addon().isZero(data);
}

/**
 * Gives a name to an open file that has none, opened with O_TMPFILE. Requires /proc. The path has no null bytes.
 * @throws SystemCallError `EEXIST` if the name is taken
 */
export function linkFile(fd: number, path: string): void {
  checkFd(fd);
  checkPath(path);
  const failure = addon().linkFile(fd, path);
  if (isError(failure)) throw toSystemCallError(failure);
}

/**
 * Gives an open file the POSIX access control list of another, with its permissions; without one, removes that of the file.
 * @returns whether there is one
 * @throws SystemCallError
 */
export function copyAccessList(from: number, to: number): boolean {
  checkFd(from);
  checkFd(to);
  const found = addon().copyAccessList(from, to);
  if (isError(found)) throw toSystemCallError(found);
  return found;
}

/** Extended attributes that programs may use begin with it. */
export type AttributeName = `user.${string}`;

/**
 * Sets an extended attribute of an open file; an empty value removes it.
 * @throws SystemCallError `ENOTSUP` on file systems without them
 */
export function setAttribute(fd: number, name: AttributeName, value: string): void {
  checkFd(fd);
  const failure = addon().setAttribute(fd, name, value);
  if (isError(failure)) throw toSystemCallError(failure);
}

/**
 * Reads an extended attribute of an open file, empty where there is none.
 * @throws SystemCallError `ENOTSUP` on file systems without them
 */
export function getAttribute(fd: number, name: AttributeName): string {
  checkFd(fd);
  const value = addon().getAttribute(fd, name);
  if (isError(value)) throw toSystemCallError(value);
  return value;
}

/** Loads the addon now, which takes a few milliseconds, and not at the first call of another function. */
export function preload(): void {
  addon();
}
