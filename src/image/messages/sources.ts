/** Messages about sources. Each function returns the error to throw. */
import type { ErrorCode } from '../../error-codes.ts';
import { ColdsnapError } from '../../errors.ts';
import type { WarningCode } from '../../warning-codes.ts';
import type { Container } from '../container.ts';
import { formatSize, type Named, refused, usage } from './common.ts';

/** Errors of a source that a later run cannot resume with. */
function sourceFault(
  errorClass: 'usage' | 'local',
  code: ErrorCode,
  message: string,
  path: string,
  hint: string,
): ColdsnapError {
  return new ColdsnapError(errorClass, code, message, { path, hint, sourceFault: true });
}

export const sourceNameEmpty = () =>
  usage('SOURCE_NAME_EMPTY', 'the source has no name', '', 'Name a file, a block device, or - for stdin.');

/** @param partial the partial file, if that exists */
export const sourceMissing = (path: string, partial: string | undefined) =>
  usage(
    'SOURCE_MISSING',
    `${path} does not exist`,
    path,
    partial === undefined
      ? 'Check the name.'
      : `Check the name. If ${partial} is of an interrupted download, run that again to finish it.`,
  );

export const sourceIsDirectory = (path: string) =>
  usage('SOURCE_IS_DIRECTORY', `${path} is a directory`, path, 'Name a disk image or a block device.');

export const sourceNotSupported = (path: string, what: string) =>
  usage(
    'SOURCE_NOT_SUPPORTED',
    `${path} is ${what}, which cannot contain a disk image`,
    path,
    'Name a file, a block device, or - for stdin.',
  );

export const sourceEmpty = ({ path, label }: Named) =>
  sourceFault(
    'usage',
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
  usage(
    'SOURCE_SIZE_UNKNOWN',
    `the size of ${label} is not known in advance`,
    path,
    'Set the size of the volume.',
  );

export const sourceNotHashed = ({ path, label }: Named) =>
  usage(
    'SOURCE_NOT_HASHED',
    `${label} can be read only once, so its SHA-256 is not known before the upload`,
    path,
    'Hash it on the way, for example with "tee >(sha256sum >&2)", and drop the option.',
  );

export const sourceNotBytes = (path: string) =>
  sourceFault(
    'usage',
    'SOURCE_NOT_BYTES',
    `${path} gives strings or objects, not bytes`,
    path,
    'Give a stream without an encoding and not in object mode.',
  );

export const sourceTooLong = ({ path, label }: Named, sizeBytes: number) =>
  sourceFault(
    'usage',
    'SOURCE_TOO_LONG',
    `${label} has more than the ${formatSize(sizeBytes)} of the volume`,
    path,
    'Set a larger volume size.',
  );

export const alreadyRead = (path: string, offset: number) =>
  new ColdsnapError(
    'permanent',
    'OUT_OF_ORDER',
    `the block at offset ${offset} of a stream was requested twice`,
    { path },
  );

export const sourceChanged = (path: string, how: string) =>
  sourceFault(
    'local',
    'SOURCE_CHANGED',
    `${path} changed while it was read: ${how}`,
    path,
    'Use an image that is not being written, for example a file-system snapshot of it.',
  );

export const holesNeedFile = ({ path, label }: Named) =>
  usage(
    'HOLES_NEED_FILE',
    `holes cannot be detected in a stream (${label})`,
    path,
    'Upload from a file, or drop the option.',
  );

export const badMap = (mapPath: string, why: string) =>
  usage(
    'BAD_HOLE_MAP',
    `${mapPath} is not a usable map of the image: ${why}`,
    mapPath,
    'Make it with: qemu-img map --output=json -f raw IMAGE',
  );

/** @param offset where the block with data begins */
export const holeMapWrong = (mapPath: string, imagePath: string, offset: number, older: boolean) =>
  refused(
    'HOLE_MAP_WRONG',
    `${mapPath} is not a map of ${imagePath}: it has a hole where the image has data at offset ${offset}` +
      (older ? '; the map is older than the image' : ''),
    mapPath,
    'Make it again with: qemu-img map --output=json -f raw IMAGE',
  );

/** @param file the path, where another program can read it again */
export const sourceIsContainer = ({ path, label }: Named, container: Container, file?: string) =>
  refused(
    'SOURCE_IS_CONTAINER',
    `${label} is ${container.description}, not a raw disk image`,
    path,
    `${container.hint(file)}; or upload its bytes as they are, as a raw image.`,
  );

export const sourceInUse = (path: string, by: readonly string[]) =>
  refused(
    'SOURCE_IN_USE',
    `${path} may be written during the upload: ${by.join('; ')}`,
    path,
    'Unmount it, mount it read-only or upload a snapshot of it; or allow a source in use.',
  );

/** A device that is compared with a snapshot. */
export const comparedInUse = (path: string, by: readonly string[]) =>
  refused(
    'TARGET_IN_USE',
    `${path} may be written during the comparison: ${by.join('; ')}`,
    path,
    'Unmount it, or mount it read-only.',
  );

type Warning = readonly [code: WarningCode, message: string];

export const usedSource = (path: string, by: readonly string[]): Warning => [
  'SOURCE_IN_USE',
  `${path} may be written during the upload: ${by.join('; ')}. The snapshot may then mix several states of it.`,
];

export const sourceWritten = (path: string): Warning => [
  'SOURCE_WRITTEN',
  `${path} was written during the upload: the snapshot mixes several states of it.`,
];

export const changesNotDetected = (path: string): Warning => [
  'CHANGES_NOT_DETECTED',
  `The kernel does not count what is written to ${path}, so it cannot be detected whether ${path} is written while ` +
    'it is read.',
];
