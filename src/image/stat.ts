/** The status of a path that may not exist. */
import type { BigIntStats } from 'node:fs';
import { lstat, stat } from 'node:fs/promises';
import { isErrno, localError } from './errno.ts';

/**
 * @param target the path for messages
 * @returns undefined when there is no such file
 */
export function statIfExists(path: string, target = path): Promise<BigIntStats | undefined> {
  return ifExists(stat(path, { bigint: true }), path, target);
}

/** As {@link statIfExists}, without following a symbolic link. */
export function lstatIfExists(path: string, target = path): Promise<BigIntStats | undefined> {
  return ifExists(lstat(path, { bigint: true }), path, target);
}

async function ifExists(
  status: Promise<BigIntStats>,
  path: string,
  target: string,
): Promise<BigIntStats | undefined> {
  try {
    return await status;
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) return undefined;
    throw localError(error, `examine ${path}`, target);
  }
}
