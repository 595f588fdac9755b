/** Messages about targets: what is refused, what failed, and what to do next. Each function returns the error to throw. */

import { describeErrno, errnoHint } from '../../errno.ts';
import type { SystemErrorCode } from '../../error-codes.ts';
import { ColdsnapError } from '../../errors.ts';
import { formatSize, type Named, refused, usage } from './common.ts';

export const targetNameEmpty = () =>
  usage('TARGET_NAME_EMPTY', 'the target has no name', '', 'Name a file, a block device, or - for stdout.');

export const targetIsDirectory = (path: string) =>
  usage(
    'TARGET_IS_DIRECTORY',
    `${path} is a directory`,
    path,
    `Name a file in it, for example ${path.replace(/\/+$/, '')}/disk.img.`,
  );

export const targetParentMissing = (path: string, parent: string) =>
  usage(
    'TARGET_PARENT_MISSING',
    `cannot create ${path}: the directory ${parent} does not exist`,
    path,
    `Create it first: mkdir -p ${parent}`,
  );

export const targetParentNotDirectory = (path: string, parent: string) =>
  usage(
    'TARGET_PARENT_MISSING',
    `cannot create ${path}: ${parent} is not a directory`,
    path,
    'Choose a path inside a directory.',
  );

export const targetParentNotWritable = (
  path: string,
  parent: string,
  code: SystemErrorCode,
  cause: unknown,
) =>
  new ColdsnapError('local', code, `cannot create files in ${parent}: ${describeErrno(code)}`, {
    path,
    cause,
    hint: `The target and its partial file ${path}.partial are made there; choose a directory that you may write to.`,
  });

export const targetNotReplaceable = (path: string, cause: unknown) =>
  new ColdsnapError('local', 'EPERM', `cannot replace ${path}: ${describeErrno('EPERM')}`, {
    path,
    cause,
    hint: 'It may be immutable (lsattr shows an "i"), or belong to another user in a directory such as /tmp. Choose another target.',
  });

export const targetDangling = (path: string, to: string) =>
  refused(
    'TARGET_DANGLING_SYMLINK',
    `${path} is a symbolic link to ${to}, which does not exist`,
    path,
    'Remove the link, or name the file itself.',
  );

export const targetDeviceMissing = (path: string, disks: readonly string[]) =>
  usage(
    'TARGET_DEVICE_MISSING',
    `the device ${path} does not exist`,
    path,
    disks.length === 0 ? 'There are no disks.' : `There are ${disks.join('; ')}.`,
  );

export const targetNotReadBack = ({ path, label }: Named) =>
  usage(
    'TARGET_NOT_READ_BACK',
    `what is written to ${label} cannot be read back`,
    path,
    'Name a file or a block device, or drop the option.',
  );

export const targetsShareStorage = (one: string, other: string) =>
  usage(
    'SAME_TARGET',
    one === other
      ? `${one} is named twice`
      : `${one} and ${other} are the same file or device, or share storage`,
    other,
    'Name each target once; of a disk and its partitions, name one.',
  );

export const streamAmongTargets = (path: string) =>
  usage(
    'SEVERAL_TARGETS',
    `${path === '-' ? 'stdout' : path} is a stream, which cannot be one of several targets`,
    path,
    'Name files and block devices.',
  );

export const targetDamaged = ({ path, label }: Named, start: number, end: number) =>
  new ColdsnapError(
    'integrity',
    'TARGET_DAMAGED',
    `${label} does not hold what was written: bytes ${start}-${end} differ, also after they were written again`,
    { path, hint: 'Its storage is faulty; use another.' },
  );

export const targetNotSupported = (path: string, what: string) =>
  usage(
    'TARGET_NOT_SUPPORTED',
    `${path} is ${what}, which cannot hold a disk image`,
    path,
    'Name a file, a block device, a FIFO, or - for stdout.',
  );

export const fifoOfOther = (path: string) =>
  usage(
    'TARGET_NOT_SUPPORTED',
    `${path} is a FIFO of another user, in a directory that all users may write`,
    path,
    'Make one in a directory of your own.',
  );

export const stdoutDiscards = (path: string) =>
  usage(
    'TARGET_NOT_SUPPORTED',
    'stdout is closed or discards everything, so the image would be lost',
    path,
    'Redirect stdout to a file, or pipe it into another program; to keep nothing, name /dev/null.',
  );

export const targetIsTerminal = ({ path, label }: Named) =>
  usage(
    'TARGET_IS_TERMINAL',
    `${label} is a terminal; a disk image is not printed on it`,
    path,
    'Redirect stdout to a file, or pipe it into another program.',
  );

export const targetExists = (path: string) =>
  refused('TARGET_EXISTS', `${path} already exists`, path, 'Choose another name, or allow overwriting it.');

export const targetInUse = (path: string, by: readonly string[]) =>
  refused(
    'TARGET_IN_USE',
    `${path} is in use: ${by.join('; ')}`,
    path,
    'Release it first, or choose another name; nothing overrides this.',
  );

export const targetAppeared = (path: string) =>
  refused(
    'TARGET_EXISTS',
    `${path} was created by another program in the meantime`,
    path,
    'The finished image was not moved over it. Run again with another name, or allow overwriting it.',
  );

export const targetBusy = (path: string, partial: string) =>
  refused(
    'TARGET_BUSY',
    `another run is writing ${path} (it holds a lock on ${partial})`,
    path,
    'Wait until it ends, or choose another name.',
  );

export const partialReplaced = (path: string, partial: string) =>
  new ColdsnapError(
    'local',
    'PARTIAL_REPLACED',
    `${partial} was moved, removed or replaced while it was written`,
    { path, hint: 'Do not touch it while the download runs; the same command starts over.' },
  );

export const partialResized = (path: string, partial: string) =>
  new ColdsnapError('local', 'PARTIAL_REPLACED', `${partial} was given another size while it was written`, {
    path,
    hint: 'Do not touch it while the download runs; the same command starts over.',
  });

export const targetBetween = (path: string, partial: string) =>
  refused(
    'TARGET_BETWEEN',
    `${path} is between two states: ${partial} is of an interrupted incremental download`,
    path,
    'Finish it with the same command if its journal is still there, or overwrite it by a full download.',
  );

export const holdsNoBase = (path: string, why: string) =>
  refused(
    'TARGET_HOLDS_NO_BASE',
    `${path} ${why}, so it does not hold the base`,
    path,
    'Name a file or device that holds the base, or do a full download.',
  );

export const partialNotOurs = (path: string, partial: string, what: string) =>
  refused(
    'PARTIAL_FOREIGN',
    `cannot restore to ${path}: ${partial} is ${what}, not a partial file of an earlier run`,
    path,
    `Inspect ${partial} and remove it.`,
  );

export const resumeMismatch = (path: string, why: string) =>
  refused('RESUME_MISMATCH', `cannot resume the earlier restore to ${path}: ${why}`, path, 'Start over.');

export const badGeometry = (path: string, volumeSize: number, blockSize: number) =>
  new ColdsnapError(
    'permanent',
    'BAD_GEOMETRY',
    `a volume of ${volumeSize} bytes cannot be made of blocks of ${blockSize} bytes`,
    { path },
  );

export const outsideVolume = (path: string, offset: number, length: number, volumeSize: number) =>
  new ColdsnapError(
    'permanent',
    'OUTSIDE_VOLUME',
    `the range of ${length} bytes at offset ${offset} lies outside the volume of ${volumeSize} bytes`,
    { path },
  );

export const alreadyWritten = (path: string, offset: number) =>
  new ColdsnapError('permanent', 'OUT_OF_ORDER', `the range at offset ${offset} was given twice`, { path });

export const streamIncomplete = ({ path, label }: Named, written: number, volumeSize: number) =>
  new ColdsnapError(
    'permanent',
    'INCOMPLETE',
    `only ${written} of ${volumeSize} bytes were written to ${label}`,
    { path },
  );

export const streamClosed = ({ path, label }: Named, cause: unknown) =>
  new ColdsnapError('aborted', 'EPIPE', `the reader of ${label} went away`, {
    path,
    cause,
  });

/** The disk filled up during a transfer; `written` is the number of bytes that this run wrote. */
export function noSpace(path: string, written: number, cause: unknown): ColdsnapError {
  const message = `no space left on the file system of ${path} after writing ${formatSize(written)}`;
  return new ColdsnapError('local', 'ENOSPC', message, { path, cause, hint: errnoHint('ENOSPC') });
}
