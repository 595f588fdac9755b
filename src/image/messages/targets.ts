/**
 * The sentences of this room: what is refused, what failed, and what to do next. Each returns the error to throw, so
 * that a reader finds every way in which a target or source can be turned down in one place.
 */
import type { ErrorCode, SystemErrorCode } from '../../error-codes.ts';
import { ColdsnapError } from '../../errors.ts';
import { errnoHints, errnoSentence } from '../errno.ts';

const units = ['KiB', 'MiB', 'GiB', 'TiB'] as const;

/** A size for people: exact bytes, with the largest unit that divides it well, for example `1073741824 bytes (1 GiB)`. */
export function formatSize(bytes: number): string {
  let value = bytes;
  let unit: string | undefined;
  for (const next of units) {
    if (value < 1024) break;
    value /= 1024;
    unit = next;
  }
  if (unit === undefined) return `${bytes} bytes`;
  return `${bytes} bytes (${Number.isInteger(value) ? value : `about ${value.toFixed(1)}`} ${unit})`;
}

/** The disk filled up during a transfer; `written` is what this run had put there. */
export function noSpace(path: string, written: number, cause: unknown): ColdsnapError {
  const message = `no space left on the file system of ${path} after writing ${formatSize(written)}`;
  return new ColdsnapError('local', 'ENOSPC', message, { path, cause, hint: errnoHints.ENOSPC! });
}

/** A target or source as a message names it. */
interface Named {
  readonly path: string;
  readonly label: string;
}

function usage(code: ErrorCode, message: string, path: string, hint: string): ColdsnapError {
  return new ColdsnapError('usage', code, message, { path, hint });
}

function refused(code: ErrorCode, message: string, path: string, hint: string): ColdsnapError {
  return new ColdsnapError('refused', code, message, { path, hint });
}

// Targets: what kind of thing they are

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
  new ColdsnapError('local', code, `cannot create files in ${parent}: ${errnoSentence(code)}`, {
    path,
    cause,
    hint: `The target and its partial file ${path}.partial are made there; choose a directory that you may write to.`,
  });

export const targetDangling = (path: string, to: string) =>
  refused(
    'TARGET_DANGLING_SYMLINK',
    `${path} is a symbolic link to ${to}, which does not exist`,
    path,
    'Remove the link, or name the file itself.',
  );

export const targetNotSupported = (path: string, what: string) =>
  usage(
    'TARGET_NOT_SUPPORTED',
    `${path} is ${what}, which cannot hold a disk image`,
    path,
    'Name a file, a block device, a FIFO, or - for stdout.',
  );

export const targetIsTerminal = ({ path, label }: Named) =>
  usage(
    'TARGET_IS_TERMINAL',
    `${label} is a terminal; a disk image would garble it`,
    path,
    'Redirect it to a file or into a pipe.',
  );

// Targets: files

export const targetExists = (path: string) =>
  refused('TARGET_EXISTS', `${path} exists already`, path, 'Choose another name, or allow overwriting it.');

export const targetAppeared = (path: string, partial: string) =>
  refused(
    'TARGET_EXISTS',
    `${path} was created by somebody else in the meantime`,
    path,
    `The finished image was not moved over it and would have been ${partial}; run again with another name, or allow overwriting it.`,
  );

export const targetBusy = (path: string, partial: string) =>
  refused(
    'TARGET_BUSY',
    `another run is writing ${path} (it holds a lock on ${partial})`,
    path,
    'Wait for it to end, or choose another name.',
  );

export const partialReplaced = (path: string, partial: string) =>
  new ColdsnapError(
    'local',
    'PARTIAL_REPLACED',
    `${partial} was moved, removed or replaced while it was written`,
    { path, hint: 'Leave it alone while the download runs; the same command starts anew.' },
  );

export const partialNotOurs = (path: string, partial: string, what: string) =>
  refused(
    'PARTIAL_FOREIGN',
    `cannot restore to ${path}: ${partial} is ${what}, not a partial file of an earlier run`,
    path,
    `Look at ${partial} and remove it.`,
  );

export const resumeMismatch = (path: string, why: string) =>
  refused('RESUME_MISMATCH', `cannot go on with the earlier restore to ${path}: ${why}`, path, 'Start over.');

// Targets: block devices

export const targetReadOnly = (path: string) =>
  refused(
    'TARGET_READ_ONLY',
    `${path} is a read-only device`,
    path,
    `Make it writable (blockdev --setrw ${path}), or choose another device.`,
  );

export const deviceNoMedium = (path: string, role: 'target' | 'source') =>
  refused(
    role === 'target' ? 'TARGET_NO_MEDIUM' : 'SOURCE_NO_MEDIUM',
    `${path} has no medium (its size is 0)`,
    path,
    'Insert or attach one, or choose another device.',
  );

export const deviceChanged = (path: string, cause: unknown) =>
  new ColdsnapError('refused', 'DEVICE_CHANGED', `${path} became another device while it was being opened`, {
    path,
    cause,
    hint: 'Run again once the device names have settled; a name in /dev/disk/by-id does not change.',
  });

export const deviceReplaced = (path: string) =>
  new ColdsnapError(
    'local',
    'DEVICE_REPLACED',
    `${path} does not lead to the device any more that was written to`,
    {
      path,
      hint: 'That device has all but its first block; the same command goes on when the name leads to it again.',
    },
  );

export const deviceInUse = (path: string, by: readonly string[]) =>
  refused(
    'DEVICE_IN_USE',
    `${path} is in use: ${by.length === 0 ? 'another program or the kernel holds it exclusively' : by.join('; ')}`,
    path,
    'Unmount or release it first; nothing overrides this.',
  );

export const targetNotBlank = (path: string, contents: string) =>
  refused(
    'TARGET_NOT_BLANK',
    `${path} is not blank: it holds ${contents}`,
    path,
    'Check that it is the right device, and allow overwriting it.',
  );

export const targetTooSmall = (path: string, sizeBytes: number, volumeSize: number) =>
  refused(
    'TARGET_TOO_SMALL',
    `${path} is too small: it has ${formatSize(sizeBytes)}, the snapshot's volume ${formatSize(volumeSize)}`,
    path,
    'Use a device at least as large as the volume.',
  );

// Targets: what the pipeline may not ask for

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

export const closed = (path: string) =>
  new ColdsnapError('aborted', 'CLOSED', `${path} was closed`, { path });

// Sources

export const sourceNameEmpty = () =>
  usage('SOURCE_NAME_EMPTY', 'the source has no name', '', 'Name a file, a block device, or - for stdin.');

export const sourceMissing = (path: string) =>
  usage('SOURCE_MISSING', `${path} does not exist`, path, 'Check the name.');

export const sourceIsDirectory = (path: string) =>
  usage('SOURCE_IS_DIRECTORY', `${path} is a directory`, path, 'Name a disk image or a block device.');

export const sourceNotSupported = (path: string, what: string) =>
  usage(
    'SOURCE_NOT_SUPPORTED',
    `${path} is ${what}, which has no disk image in it`,
    path,
    'Name a file, a block device, or - for stdin.',
  );

export const sourceEmpty = ({ path, label }: Named) =>
  usage(
    'SOURCE_EMPTY',
    `${label} is empty`,
    path,
    label === 'stdin' ? 'Did the program before the pipe fail?' : 'There is nothing to upload.',
  );

export const sourceIsTerminal = ({ path, label }: Named) =>
  usage(
    'SOURCE_IS_TERMINAL',
    `${label} is a terminal, not a disk image`,
    path,
    'Redirect a file or a pipe into it.',
  );

export const sourceSizeUnknown = ({ path, label }: Named) =>
  usage('SOURCE_SIZE_UNKNOWN', `the size of ${label} cannot be known`, path, 'Set the size of the volume.');

export const sourceNotBytes = (path: string) =>
  usage(
    'SOURCE_NOT_BYTES',
    `${path} gives strings or objects, not bytes`,
    path,
    'Give a stream without an encoding and not in object mode.',
  );

export const sourceTooLong = ({ path, label }: Named, sizeBytes: number) =>
  usage(
    'SOURCE_TOO_LONG',
    `${label} has more than the ${formatSize(sizeBytes)} of the volume`,
    path,
    'Set a larger volume size.',
  );

export const alreadyRead = (path: string, offset: number) =>
  new ColdsnapError(
    'permanent',
    'OUT_OF_ORDER',
    `the block at offset ${offset} of a stream was asked for twice`,
    { path },
  );

export const sourceChanged = (path: string, how: string) =>
  new ColdsnapError('local', 'SOURCE_CHANGED', `${path} changed while it was read: ${how}`, {
    path,
    hint: 'Upload a source that nobody writes to, for example a file-system snapshot of it.',
  });

export const holesNeedFile = ({ path, label }: Named) =>
  usage(
    'HOLES_NEED_FILE',
    `holes cannot be told from a stream (${label})`,
    path,
    'Upload from a file, or leave out the option.',
  );

export const badMap = (mapPath: string, why: string) =>
  usage(
    'BAD_HOLE_MAP',
    `${mapPath} is not a usable map of the image: ${why}`,
    mapPath,
    'Make it with: qemu-img map --output=json -f raw IMAGE',
  );

/** A stream that the caller gave, or its other end, failed in its own way. */
export const streamFailed = (path: string, doing: string, cause: unknown) =>
  new ColdsnapError(
    'local',
    'STREAM_FAILED',
    `could not ${doing}: ${cause instanceof Error ? cause.message : String(cause)}`,
    { path, cause },
  );
