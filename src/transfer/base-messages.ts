/** Errors and warnings of incremental uploads and of digest files. */

import { ColdsnapError } from '../errors.ts';
import type { WarningCode } from '../warning-codes.ts';

function usage(message: string, hint?: string): ColdsnapError {
  return new ColdsnapError('usage', 'CONFLICTING_OPTIONS', message, { hint });
}

export const parentMissing = () =>
  usage(
    'an incremental upload needs a parent',
    'Name the snapshot that the source is compared with as the parent.',
  );

export const baseUnused = () => usage('a base is only for an incremental upload');

export const baseImageMissing = () => usage('only the image of a base can be trusted or compared');

export const baseIsSource = (path: string) =>
  usage(`${path} is the source, and cannot be its own base`, 'Name an image of the parent.');

export const baseHasDigests = (path: string) =>
  usage(`the digest file ${path} cannot be compared with the base`, 'It is sealed, and checked as a whole.');

export const digestsNeedAll = () =>
  usage(
    'digests of an incremental download cannot be saved, because blocks that have not changed are not read',
    'Save them with a full download, or with the upload of the snapshot.',
  );

export const digestsNameEmpty = () => usage('the name of the digest file is empty');

export const digestsOverJournal = (path: string) =>
  usage(`${path} is the name of a journal`, 'Choose another file for the digests.');

export const digestsOverImage = (path: string, image: string) =>
  usage(`digests saved as ${path} would replace ${image}`, 'Choose another file for the digests.');

export const digestsAmong = (path: string, neighbours: string) =>
  usage(`digests saved as ${path} would be among ${neighbours}`, 'Choose another file for the digests.');

function refusedBase(path: string, problem: string, hint: string): ColdsnapError {
  return new ColdsnapError('refused', 'BASE_MISMATCH', `${path} ${problem}; nothing was uploaded`, {
    path,
    hint,
  });
}

/** @param replaced whether the upload saves digests in this file, too */
export const digestsOfOther = (path: string, named: string, parentId: string, replaced: boolean) =>
  refusedBase(
    path,
    `has the digests of ${named} and not of ${parentId}${
      replaced ? ' any more, because an upload that saves them there has completed' : ''
    }`,
    'Name the digest file of the parent.',
  );

export const digestsOfOtherService = (path: string, parentId: string) =>
  refusedBase(
    path,
    `has the digests of ${parentId} at another endpoint or in another region`,
    'Upload without it, or write it again from this service.',
  );

export const digestsOfOtherBlocks = (path: string, size: number, parentId: string, expected: number) =>
  refusedBase(
    path,
    `has the digests of blocks of ${size} bytes, and ${parentId} has blocks of ${expected}`,
    'Write the file again.',
  );

export const baseOfOtherSize = (path: string, size: number, parentId: string, expected: number) =>
  refusedBase(
    path,
    `is of ${size} bytes, and the volume of ${parentId} of ${expected}`,
    'Name an image or the digest file of the parent.',
  );

export const baseIsStream = (path: string) =>
  refusedBase(path, 'is not a file or device', 'Name an image or the digest file of the parent.');

export const childTooSmall = (parentId: string, gib: number, parentGib: number) =>
  new ColdsnapError(
    'refused',
    'CHILD_TOO_SMALL',
    `a volume of ${gib} GiB is smaller than that of its parent ${parentId}, which has ${parentGib} GiB`,
    { snapshotId: parentId, hint: `Set a volume size of ${parentGib} GiB or more.` },
  );

export const baseImageDiffers = (path: string, parentId: string, start: number, end: number) =>
  new ColdsnapError(
    'integrity',
    'BASE_MISMATCH',
    `${path} does not hold ${parentId}: bytes ${start}-${end} differ; nothing was uploaded`,
    { path, hint: 'Name an image of the parent, or upload without one.' },
  );

export const digestsDamaged = (path: string) =>
  new ColdsnapError('integrity', 'DIGESTS_DAMAGED', `the digest file ${path} is damaged`, {
    path,
    hint: 'Upload without it, which reads the blocks of the parent instead.',
  });

export const digestsChanged = (path: string) =>
  new ColdsnapError('local', 'SOURCE_CHANGED', `${path} was written while it was read`, {
    path,
    sourceFault: true,
    hint: 'Upload again when nothing writes it.',
  });

/** @param replaceable whether force would allow it */
export const digestsNotOurs = (path: string, replaceable: boolean) =>
  new ColdsnapError('refused', 'DIGESTS_EXIST', `${path} exists and is not a digest file`, {
    path,
    hint: replaceable ? 'Choose another name, or force it.' : 'Choose another name.',
  });

export const partialDigestsNotOurs = (path: string) =>
  new ColdsnapError(
    'refused',
    'PARTIAL_FOREIGN',
    `${path} exists and was not made by coldsnap for this user`,
    {
      path,
      hint: 'Move it away, or choose another name for the digests.',
    },
  );

export const partialDigestsReplaced = (path: string) =>
  new ColdsnapError('local', 'PARTIAL_REPLACED', `${path} was moved or replaced while it was written`, {
    path,
    hint: 'Run it again.',
  });

export const digestsBusy = (path: string) =>
  new ColdsnapError('refused', 'TARGET_BUSY', `another run is writing ${path}`, {
    path,
    hint: 'Wait until it ends, or choose another name for the digests.',
  });

/** No later run could finish the upload either. */
export const parentHasOtherBlocks = (parentId: string, parentBlocks: number, blockSize: number) =>
  new ColdsnapError(
    'permanent',
    'BAD_GEOMETRY',
    `${parentId} has blocks of ${parentBlocks} bytes, the new snapshot of ${blockSize}`,
    { snapshotId: parentId, sourceFault: true },
  );

type Warning = [code: WarningCode, message: string];

export const encryptionUnknown = (parentId: string, reason: string): Warning => [
  'NOT_DESCRIBED',
  `Could not describe ${parentId} in EC2, which knows whether it is encrypted (${reason}): zeros are uploaded where it ` +
    'lists nothing.',
];

export const nothingChanged = (parentId: string): Warning => [
  'NOTHING_CHANGED',
  `Nothing differs from ${parentId}, and the service refused a snapshot without changed blocks: ${parentId} is the result.`,
];
