/** The table of errnos: their names, descriptions and hints. Does not load the addon. */
import { constants } from 'node:os';
import { getSystemErrorMap } from 'node:util';
import type { SystemErrorCode } from './error-codes.ts';

/** Errnos of block devices and quotas that libuv has no name for; Linux's numbers. */
const furtherErrnos: ReadonlyMap<number, readonly [name: SystemErrorCode, description: string]> = new Map([
  [37, ['ENOLCK', 'no locks available']],
  [52, ['EBADE', 'the device is reserved by another host']],
  [61, ['ENODATA', 'medium error: the data cannot be read']],
  [67, ['ENOLINK', 'the link to the device has been severed']],
  [116, ['ESTALE', 'stale file handle']],
  [117, ['EUCLEAN', 'the file system is damaged']],
  [121, ['EREMOTEIO', 'the device refused the request']],
  [122, ['EDQUOT', 'disk quota exceeded']],
  [123, ['ENOMEDIUM', 'no medium in the device']],
]);

/** Descriptions by name. */
const descriptions: ReadonlyMap<string, string> = new Map([
  ...getSystemErrorMap().values(),
  // Linux has one number for this and EOPNOTSUPP, which libuv describes for sockets alone.
  ['ENOTSUP', 'operation not supported'],
  ['EIO', 'input/output error'],
  ['ENOTFOUND', 'unknown host name'],
  ['EINODECHANGED', 'it is no longer the block device that was examined'],
  ...furtherErrnos.values(),
]);

const hints: Readonly<Record<string, string>> = {
  EACCES: 'Check the permissions; a block device usually needs root.',
  EADDRINUSE: 'Another program uses that port.',
  ECONNREFUSED: 'Nothing listens there: check the endpoint.',
  EDQUOT: 'Free some space or raise the quota, or choose another place.',
  EFBIG: 'The file system or a limit (ulimit -f) allows no file of that size; choose another place.',
  EIO: 'The storage reports a fault; the kernel log (dmesg) has details.',
  EMFILE: 'Raise the limit of open files (ulimit -n).',
  ENAMETOOLONG: 'Choose a shorter name.',
  ENFILE: 'The machine has run out of open files.',
  ENODEV: 'The device is gone.',
  ENOMEDIUM: 'Insert a medium.',
  ENOMEM: 'The machine has run out of memory.',
  ENOSPC: 'Free some space there, or choose another place.',
  ENOTFOUND: 'Check the region, the endpoint and the name servers.',
  ENXIO: 'The device is gone or has no medium.',
  EPERM: 'Check the permissions; a block device usually needs root.',
  EROFS: 'The file system is mounted read-only; choose another place.',
};

/** The name of an errno, a positive number; undefined for an unknown one. */
export function errnoName(errno: number): SystemErrorCode | undefined {
  const further = furtherErrnos.get(errno)?.[0];
  if (further !== undefined) return further;
  const known =
    getSystemErrorMap().get(-errno)?.[0] ??
    Object.entries(constants.errno).find(([, number]) => number === errno)?.[0];
  return known as SystemErrorCode | undefined;
}

/** The description of an errno, by name, without a full stop; the name itself where there is none. */
export function describeErrno(name: string): string {
  return descriptions.get(name) ?? name;
}

/** The remedy for an errno, by name; undefined where none is known. */
export function errnoHint(name: string): string | undefined {
  return Object.hasOwn(hints, name) ? hints[name] : undefined;
}
