/** Failed system calls as errors of class `local`. */

import { describeErrno, errnoHint, errnoName } from '../errno.ts';
import type { SystemErrorCode } from '../error-codes.ts';
import { ColdsnapError, isError } from '../errors.ts';
import type { SystemCallError } from '../native/index.ts';

/** The code of what Node itself denies: `node --permission`. */
const DENIED_BY_NODE = 'ERR_ACCESS_DENIED';

function nameOf(error: unknown): SystemErrorCode | undefined {
  if (!isError(error)) return undefined;
  const { code, errno } = error as NodeJS.ErrnoException;
  if (code === DENIED_BY_NODE) return 'EACCES';
  if (typeof code === 'string' && /^E[A-Z][A-Z0-9]+$/.test(code)) return code as SystemErrorCode;
  return typeof errno === 'number' ? errnoName(-errno) : undefined;
}

/** Whether an error is the failed system call named, for example `EBUSY`. */
export function isErrno(error: unknown, ...codes: string[]): boolean {
  const code = nameOf(error);
  return code !== undefined && codes.includes(code);
}

/**
 * Turns a failed system call into an error of class `local`, whose code is the errno's name. `doing` completes
 * "could not …". Returns other errors unchanged.
 */
export function localError(error: unknown, doing: string, path: string): unknown {
  if (error instanceof ColdsnapError) return error;
  const code = nameOf(error);
  if (code === undefined) return error;
  const { offset, code: given } = error as Partial<SystemCallError>;
  const where = offset === undefined ? '' : ` at offset ${offset}`;
  return new ColdsnapError('local', code, `could not ${doing}${where}: ${describeErrno(code)}`, {
    path,
    cause: error,
    hint:
      given === DENIED_BY_NODE
        ? "Node's permission model denies it: permit reading or writing there."
        : errnoHint(code),
  });
}
