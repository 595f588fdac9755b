/** The partial file of a digest file: whose it is, whether it still has its name, and writes to it. */
import { constants, fsyncSync, writeSync } from 'node:fs';
import { access, type FileHandle, lstat, open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { createMarked } from '../../image/create-file.ts';
import { isErrno, localError } from '../../image/errno.ts';
import { tryLock } from '../../native/index.ts';
import { digestsBusy, partialDigestsNotOurs } from '../base-messages.ts';
import { encodeHeader, HEADER_BYTES, isDigestFile } from './format.ts';

const { O_NOFOLLOW, O_NONBLOCK, O_RDWR, W_OK, X_OK } = constants;

/** Creates the partial file, recognizable by its header, or opens the one that exists. */
export async function openPartial(path: string): Promise<{ file: FileHandle; isNew: boolean }> {
  let isNew = true;
  try {
    const header = encodeHeader(undefined, undefined);
    createMarked(path, (fd) => {
      writeSync(fd, header);
      // After a power cut the file could have its name and no contents, and would not count as ours.
      fsyncSync(fd);
    });
  } catch (error) {
    if (!isErrno(error, 'EEXIST')) throw localError(error, `create ${path}`, path);
    isNew = false;
  }
  const file = await openExisting(path);
  // Another run has removed it, or given it its final name, since.
  if (file === undefined) throw digestsBusy(path);
  return { file, isNew };
}

/**
 * Checks that a run could create the partial file, or use the one that exists. Changes nothing.
 * @throws ColdsnapError as the run would
 */
export async function checkPartial(path: string): Promise<void> {
  const file = await openExisting(path);
  if (file === undefined) {
    await access(dirname(path), W_OK | X_OK).catch((error: unknown) => {
      throw localError(error, `create ${path}`, path);
    });
    return;
  }
  try {
    if (!lock(file)) throw digestsBusy(path);
    if (!(await isOurs(file))) throw partialDigestsNotOurs(path);
  } finally {
    await file.close();
  }
}

async function openExisting(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    if (isErrno(error, 'ELOOP', 'EISDIR', 'ENXIO')) throw partialDigestsNotOurs(path);
    throw localError(error, `open ${path}`, path);
  }
}

/**
 * Whether an existing partial file is one of a run that was killed. An empty one may be of any program, and one with a second
 * name may be a copy.
 */
export async function isOurs(file: FileHandle): Promise<boolean> {
  const stats = await file.stat();
  if (!stats.isFile() || stats.uid !== process.geteuid?.() || stats.nlink !== 1) return false;
  const start = Buffer.alloc(HEADER_BYTES);
  await file.read(start, 0, HEADER_BYTES, 0);
  return isDigestFile(start);
}

/** A file system without locks does without. */
export function lock(file: FileHandle): boolean {
  try {
    return tryLock(file.fd);
  } catch (error) {
    if (isErrno(error, 'ENOLCK', 'EOPNOTSUPP', 'ENOTSUP', 'ENOSYS')) return true;
    throw error;
  }
}

/** A write that reaches the end of the space is cut short; only the next one fails. */
export async function writeAll(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let at = 0; at < bytes.length; )
    at += (await file.write(bytes, at, bytes.length - at, position + at)).bytesWritten;
}

export async function hasName(file: FileHandle, path: string): Promise<boolean> {
  const opened = await file.stat({ bigint: true });
  const named = await lstat(path, { bigint: true }).catch(() => undefined);
  return named?.ino === opened.ino && named.dev === opened.dev;
}
