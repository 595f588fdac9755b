/** Opens a target by the kind of file that its path refers to, and refuses unsuitable ones. */
import type { BigIntStats } from 'node:fs';
import { constants, fstatSync } from 'node:fs';
import { access, lstat, readlink, realpath, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { PassThrough, type Writable } from 'node:stream';
import type { SystemErrorCode } from '../error-codes.ts';
import { deviceNumber } from './device/identity.ts';
import { openDeviceTarget } from './device/open.ts';
import { isErrno, localError } from './errno.ts';
import { exactRealpath } from './exact-path.ts';
import { FileTarget } from './file-target.ts';
import { badOption } from './messages/common.ts';
import {
  targetDangling,
  targetIsDirectory,
  targetIsTerminal,
  targetNameEmpty,
  targetNotSupported,
  targetParentMissing,
  targetParentNotDirectory,
  targetParentNotWritable,
} from './messages/targets.ts';
import { stdoutNames } from './names.ts';
import { checkNewFile } from './new-file.ts';
import { checkFifo, openCharacterDevice, openFifo, openStdout } from './open-stream-target.ts';
import { StreamTarget } from './stream-target.ts';
import type { ImageTarget } from './target.ts';
import { useStream } from './used-streams.ts';

/** /dev/null, /dev/zero and /dev/full accept any bytes. Others, such as /dev/nvme0, only look like disks. */
const dataSinks: ReadonlySet<string> = new Set(['1:3', '1:5', '1:7']);
/** /dev/tty, consoles and pseudo-terminals. */
const terminalMajors: ReadonlySet<string> = new Set([
  '4',
  '5',
  ...Array.from({ length: 8 }, (_, i) => `${136 + i}`),
]);

interface OpenTargetOptions {
  /** Ends the wait for a FIFO's reader, and for a stalled stream. Once it fires, no file or device is changed. */
  signal?: AbortSignal;
  /** Only for checks: a FIFO is not opened, whose reader would see an end, and a stream of the caller's is left alone. */
  peek?: boolean;
}

/**
 * Opens a target for a restore, by what is there: nothing or a regular file → a file; a block device, claimed exclusively;
 * a FIFO, stdout (`-`) or a Writable → the bytes in order. Symbolic links are followed. Stdout or a file stream that is
 * a block device is a block device. Nothing is changed yet.
 * @throws ColdsnapError of class `refused`, `usage` or `local`
 */
export async function openTarget(
  target: string | Writable,
  options: OpenTargetOptions = {},
): Promise<ImageTarget> {
  const opened = await openByKind(target, options);
  if (opened instanceof StreamTarget && options.signal !== undefined) opened.failOnAbort(options.signal);
  return opened;
}

async function openByKind(target: string | Writable, options: OpenTargetOptions): Promise<ImageTarget> {
  if (typeof target !== 'string') {
    if (!isWritable(target)) throw badOption('target', 'a path or a stream to write to', target);
    const device = await deviceOf(target);
    if (device !== undefined) return openByKind(device, options);
    if (options.peek !== true) useStream('target', target);
    const stream = options.peek === true ? new PassThrough() : target;
    return new StreamTarget('stream', stream, { copies: true, end: true });
  }
  if (target === '') throw targetNameEmpty();
  if (stdoutNames.has(target)) {
    const stdout = fstatSync(1, { bigint: true });
    return stdout.isBlockDevice() ? openDescriptor(1, stdout, options) : openStdout(target);
  }
  const info = await statPath(target);
  if (info === undefined) return openNewFile(target, options.signal);
  if (info.isDirectory()) throw targetIsDirectory(target);
  if (info.isBlockDevice())
    return openDeviceTarget(target, await exactRealpath(target), info, {
      ...options,
      stdout: isSameDevice(info, fstatSync(1, { bigint: true })),
    });
  if (info.isFIFO()) {
    await checkFifo(target, info);
    if (options.peek !== true) return openFifo(target, options.signal);
    return new StreamTarget(target, new PassThrough(), { copies: false, end: true });
  }
  if (info.isCharacterDevice()) return openCharacter(target, info);
  if (!info.isFile()) throw targetNotSupported(target, 'a socket');
  const file = await exactRealpath(target);
  await checkParent(target, dirname(file));
  return new FileTarget(target, file, options.signal);
}

/** A device that is open already, as stdout is: claimed like any other, through a descriptor of its own. */
async function openDescriptor(
  fd: number,
  info: BigIntStats,
  options: OpenTargetOptions,
): Promise<ImageTarget> {
  const path = await realpath(`/proc/self/fd/${fd}`);
  return openDeviceTarget(path, path, info, { ...options, stdout: true });
}

function isSameDevice(one: BigIntStats, other: BigIntStats): boolean {
  return other.isBlockDevice() && one.rdev === other.rdev;
}

function isWritable(stream: Writable): boolean {
  return typeof stream.on === 'function' && typeof stream.write === 'function';
}

/** The path of the block device that a file stream writes to; undefined for any other Writable. */
async function deviceOf(stream: Writable): Promise<string | undefined> {
  const { fd, path } = stream as { readonly fd?: unknown; readonly path?: unknown };
  const name = typeof fd === 'number' ? `/proc/self/fd/${fd}` : typeof path === 'string' ? path : undefined;
  if (name === undefined) return undefined;
  const info = await stat(name).catch(() => undefined);
  return info?.isBlockDevice() ? name : undefined;
}

async function statPath(path: string): Promise<BigIntStats | undefined> {
  try {
    return await stat(path, { bigint: true });
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    if (isErrno(error, 'ENOTDIR'))
      throw targetParentNotDirectory(path, path.endsWith('/') ? path.slice(0, -1) : dirname(path));
    throw localError(error, `examine ${path}`, path);
  }
}

async function openCharacter(path: string, info: BigIntStats): Promise<ImageTarget> {
  const number = deviceNumber(info.rdev);
  if (terminalMajors.has(number.split(':')[0]!)) throw targetIsTerminal({ path, label: path });
  if (!dataSinks.has(number)) throw targetNotSupported(path, 'a character device');
  return openCharacterDevice(path);
}

async function openNewFile(path: string, signal: AbortSignal | undefined): Promise<ImageTarget> {
  const link = await lstat(path).catch(() => undefined);
  // As cp, does not write through a dangling link: the user may not expect the file there.
  if (link?.isSymbolicLink()) throw targetDangling(path, await readlink(path));
  const parent = dirname(path);
  await checkNewFile(path);
  if (path.endsWith('/')) throw targetParentMissing(path, path);
  const directory = await checkParent(path, parent);
  return new FileTarget(path, join(directory, basename(path)), signal);
}

/** @returns the directory's real path */
async function checkParent(path: string, parent: string): Promise<string> {
  try {
    await access(`${parent}/.`, constants.W_OK | constants.X_OK);
    return await exactRealpath(parent);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) throw targetParentMissing(path, parent);
    if (isErrno(error, 'ENOTDIR')) throw targetParentNotDirectory(path, parent);
    if (isErrno(error, 'EACCES', 'EPERM', 'EROFS'))
      throw targetParentNotWritable(path, parent, (error as { code: SystemErrorCode }).code, error);
    throw localError(error, `examine ${parent}`, path);
  }
}
