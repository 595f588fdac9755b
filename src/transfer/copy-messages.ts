/** Every error and warning of a copy. */
import type { ErrorCode } from '../error-codes.ts';
import { ColdsnapError } from '../errors.ts';
import type { Geometry } from '../geometry.ts';
import type { WarningCode } from '../warning-codes.ts';

function usage(code: ErrorCode, message: string, hint?: string): ColdsnapError {
  return new ColdsnapError('usage', code, message, { hint });
}

export const copyOntoItself = () =>
  usage(
    'COPY_ONTO_ITSELF',
    'the copy would not differ from the snapshot',
    'Name another region, profile or endpoint, a key, encryption, a tag or a description.',
  );

export const baseNeedsParent = () =>
  usage(
    'CONFLICTING_OPTIONS',
    'a base requires a parent snapshot, and a parent snapshot a base',
    'The parent, at the destination, is the copy of the base.',
  );

export const baseIsSnapshot = (snapshotId: string) =>
  usage('CONFLICTING_OPTIONS', `the base is ${snapshotId} itself: there is nothing to copy`);

export const copyBusy = (snapshotId: string, lock: string) =>
  new ColdsnapError(
    'refused',
    'SOURCE_BUSY',
    `another run makes the same copy of ${snapshotId} (it holds ${lock})`,
    {
      snapshotId,
      hint: 'Wait until it ends.',
    },
  );

/** Sizes are of the volumes, in bytes. */
export const parentIsNoCopy = (parentId: string, size: number, baseId: string, expected: number) =>
  new ColdsnapError(
    'refused',
    'PARENT_MISMATCH',
    `${parentId} is not a copy of ${baseId}: its volume has ${size} bytes and not ${expected}`,
    { snapshotId: parentId, hint: 'Name the copy of the base as the parent.' },
  );

export const smallerThanBase = (snapshotId: string, size: number, baseId: string, baseSize: number) =>
  new ColdsnapError(
    'refused',
    'CHILD_TOO_SMALL',
    `the volume of ${snapshotId} has ${size} bytes and that of ${baseId} ${baseSize}, but a copy is at least as large as its parent`,
    { snapshotId, hint: 'Make a full copy, without a base.' },
  );

/** No later run could finish the copy either. */
export const blockSizesDiffer = (source: Geometry, blockSize: number) =>
  new ColdsnapError(
    'permanent',
    'BAD_GEOMETRY',
    `the source has blocks of ${source.blockSize} bytes, the destination of ${blockSize}`,
    { sourceFault: true },
  );

export const copyWarnings = {
  unchanged: (snapshotId: string, region: string): [WarningCode, string] => [
    'COPY_UNCHANGED',
    `The copy does not differ from ${snapshotId}, and is made in the same region, ${region}.`,
  ],

  parentNotChecked: (parentId: string, reason: string): [WarningCode, string] => [
    'PARENT_NOT_CHECKED',
    `Could not check whether ${parentId} exists: ${reason}.`,
  ],

  zerosSent: (copyId: string, snapshotId: string): [WarningCode, string] => [
    'UNLISTED_SENT',
    `${copyId} is encrypted and ${snapshotId} is not, or may not be: blocks that ${snapshotId} does not list are sent as ` +
      'zeros, because they would read as random data.',
  ],

  zerosNotSent: (copyId: string, snapshotId: string): [WarningCode, string] => [
    'UNLISTED_SKIPPED',
    `${copyId} is encrypted and ${snapshotId} is not, or may not be: blocks that ${snapshotId} does not list read as random ` +
      'data in volumes of the copy.',
  ],
};
