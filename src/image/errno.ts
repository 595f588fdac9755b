/** Failed system calls: which one it was, and in words. */
import { constants } from 'node:os';
import { getSystemErrorMap } from 'node:util';
import type { SystemErrorCode } from '../error-codes.ts';
import { ColdsnapError } from '../errors.ts';
import type { SystemCallError } from '../native/index.ts';

/** Names of errnos that Node has no code for, by number. */
const errnoNames = new Map<number, SystemErrorCode>([
  ...Object.entries(constants.errno).map(([name, number]) => [number, name as SystemErrorCode] as const),
  [117, 'EUCLEAN'],
  [123, 'ENOMEDIUM'],
]);

function errnoName(error: unknown): SystemErrorCode | undefined {
  if (!(error instanceof Error)) return undefined;
  const { code, errno } = error as NodeJS.ErrnoException;
  if (typeof code === 'string' && /^E[A-Z][A-Z0-9]+$/.test(code)) return code as SystemErrorCode;
  return typeof errno === 'number' ? errnoNames.get(-errno) : undefined;
}

/** Whether an error is the failed system call named, for example `EBUSY`. */
export function isErrno(error: unknown, ...codes: string[]): boolean {
  const code = errnoName(error);
  return code !== undefined && codes.includes(code);
}

/** What to do about an errno, where something can be said. */
export const errnoHints: Readonly<Record<string, string>> = {
  ENOSPC: 'Free some space there, or choose a target elsewhere.',
  EDQUOT: 'Free some space or raise the quota, or choose a target elsewhere.',
  EFBIG: 'This file system cannot hold a file of that size; choose a target elsewhere.',
  EACCES: 'Check the permissions; a block device usually needs root.',
  EPERM: 'Check the permissions; a block device usually needs root.',
  EIO: 'The storage reports a fault; look at the kernel log (dmesg).',
  EROFS: 'The file system is mounted read-only; choose a target elsewhere.',
  ENAMETOOLONG: 'Choose a shorter name.',
  EMFILE: 'Raise the limit of open files (ulimit -n).',
  ENXIO: 'The device is gone or has no medium.',
  ENODEV: 'The device is gone.',
  ENOMEDIUM: 'Insert a medium.',
};

/** Better words than Node's, and words for what it has none for. */
const errnoWords: Readonly<Record<string, string>> = {
  ENOSPC: 'no space left on the file system',
  EIO: 'input/output error',
  ENOMEDIUM: 'no medium in the device',
  EDQUOT: 'disk quota exceeded',
  // Linux has one number for this and EOPNOTSUPP, and Node calls it so.
  ENOTSUP: 'operation not supported',
  ESTALE: 'stale file handle (the network file system has lost it)',
  EUCLEAN: 'the file system is damaged',
};

/** An errno's meaning, without a full stop. */
export function errnoSentence(code: string): string {
  const own = errnoWords[code];
  if (own !== undefined) return own;
  for (const [name, words] of getSystemErrorMap().values()) if (name === code) return words;
  return code;
}

/**
 * A failed system call as an error of class `local`, whose code is the errno's name. `doing` completes "could not …".
 * Errors that are no system call's are returned as they are.
 */
export function localError(error: unknown, doing: string, path: string): unknown {
  if (error instanceof ColdsnapError) return error;
  const code = errnoName(error);
  if (code === undefined) return error;
  const hint = errnoHints[code];
  const { offset } = error as Partial<SystemCallError>;
  const where = offset === undefined ? '' : ` at offset ${offset}`;
  return new ColdsnapError('local', code, `could not ${doing}${where}: ${errnoSentence(code)}`, {
    path,
    cause: error,
    ...(hint === undefined ? {} : { hint }),
  });
}
