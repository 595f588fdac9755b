/** Checks what an upload is asked to do, before anything is opened or requested. */
import { basename } from 'node:path';
import type { SnapshotTag, StartedSnapshot, StartRequest } from '../ebs/api.ts';
import type { ErrorCode } from '../error-codes.ts';
import { ColdsnapError } from '../errors.ts';
import { UPLOAD_MARKER_TAG } from './marker.ts';
import type { UploadOptions } from './options.ts';
import type { UploadToken } from './upload-checkpoint.ts';

const GIB = 2 ** 30;
/** Limits of StartSnapshot, from the service model. */
const MAX_VOLUME_GIB = 65_536;
const MAX_DESCRIPTION = 255;
const MAX_TAGS = 50;
const MAX_TAG_KEY = 127;
const MAX_TAG_VALUE = 255;

function usage(code: ErrorCode, message: string, hint?: string): ColdsnapError {
  return new ColdsnapError('usage', code, message, { hint });
}

/**
 * Refuses options that contradict one another or the service's limits.
 * @throws ColdsnapError class `usage`, or `refused` where going on would leave noise in place of zeros
 */
export function checkUploadOptions(options: UploadOptions): void {
  const encrypts = options.kmsKeyId !== undefined || options.encrypted === true;
  const child = options.parentSnapshotId !== undefined;
  if (encrypts && child) {
    throw usage(
      'PARENT_WITH_ENCRYPTION',
      'a parent snapshot and encryption cannot be named together',
      'A child takes the key of its parent.',
    );
  }
  if (options.omitZeroBlocks && encrypts) {
    throw new ColdsnapError(
      'refused',
      'OMIT_WITH_ENCRYPTION',
      'zero blocks cannot be omitted from an encrypted snapshot: what is left out reads as noise',
      {
        hint: 'Send all zeros, or skip only what was never written.',
      },
    );
  }
  if (options.omitZeroBlocks && child) {
    throw new ColdsnapError(
      'refused',
      'OMIT_WITH_PARENT',
      "zero blocks cannot be omitted from a child: what is left out keeps the parent's content",
      {
        hint: 'Send all zeros.',
      },
    );
  }
  const size = options.volumeSizeGiB;
  if (size !== undefined && (!Number.isInteger(size) || size < 1 || size > MAX_VOLUME_GIB)) {
    throw usage('BAD_VOLUME_SIZE', `a volume has 1 to ${MAX_VOLUME_GIB} GiB, and not ${size}`);
  }
  if ((options.description?.length ?? 0) > MAX_DESCRIPTION) {
    throw usage('BAD_DESCRIPTION', `the description is longer than ${MAX_DESCRIPTION} characters`);
  }
  checkTags(options.tags ?? []);
}

/**
 * Looks at a snapshot that was just started, while nothing is put into it: with encryption as the account's default it
 * is encrypted though nobody asked, and what is omitted would read as noise.
 * @returns what omitting zeros means, if they are to be omitted
 * @throws ColdsnapError class `refused`
 */
export function checkOmission(options: UploadOptions, snapshot: StartedSnapshot): string | undefined {
  if (!options.omitZeroBlocks) return undefined;
  const { snapshotId, kmsKeyArn, sseType = 'none' } = snapshot;
  if (kmsKeyArn !== undefined || sseType !== 'none') {
    const message = `snapshot ${snapshotId} is encrypted by the account's default, where omitted zero blocks read as noise`;
    const hint = 'Send all zeros.';
    throw new ColdsnapError('refused', 'OMIT_WITH_ENCRYPTION', message, { snapshotId, hint });
  }
  return (
    'Blocks of zeros are left out. They read as zeros only as long as neither the snapshot nor a copy or volume of ' +
    'it is encrypted; encrypted, they read as noise.'
  );
}

function checkTags(tags: readonly SnapshotTag[]): void {
  const keys = new Set<string>();
  for (const { key, value } of tags) {
    if (key.length < 1 || key.length > MAX_TAG_KEY)
      throw usage('BAD_TAG', `a tag's key has 1 to ${MAX_TAG_KEY} characters: "${key}"`);
    if (value.length > MAX_TAG_VALUE)
      throw usage('BAD_TAG', `the value of tag "${key}" is longer than ${MAX_TAG_VALUE} characters`);
    if (/^aws:/i.test(key)) throw usage('BAD_TAG', `tag "${key}": keys that begin with "aws:" belong to AWS`);
    if (keys.has(key)) throw usage('BAD_TAG', `tag "${key}" is given twice`);
    keys.add(key);
  }
  if (keys.size > MAX_TAGS)
    throw usage('BAD_TAG', `a snapshot has at most ${MAX_TAGS} tags, and not ${keys.size}`);
}

/**
 * The volume's size: as asked, or the source's rounded up to GiB.
 * @throws ColdsnapError class `usage` when the source does not fit
 */
export function volumeSizeFor(options: UploadOptions, sourceBytes: number): number {
  const needed = Math.max(1, Math.ceil(sourceBytes / GIB));
  const size = options.volumeSizeGiB ?? needed;
  if (size < needed) {
    throw usage(
      'VOLUME_TOO_SMALL',
      `the source has ${sourceBytes} bytes, and the volume of ${size} GiB only ${size * GIB}`,
      `Ask for --volume-size ${needed} or more.`,
    );
  }
  if (needed > MAX_VOLUME_GIB)
    throw usage('SOURCE_TOO_LARGE', `the source has ${needed} GiB; a volume has at most ${MAX_VOLUME_GIB}`);
  return size;
}

/** Minutes without a put until the service cancels the snapshot: the most it allows where a later run can come back. */
const RESUMABLE_TIMEOUT = 4_320;
/** A stream cannot be gone on with; a day is enough for pauses in what feeds it. */
const STREAM_TIMEOUT = 1_440;

/** The request that starts the snapshot. Only these parameters and the client token make it the same snapshot again. */
export function startRequest(
  options: UploadOptions & { volumeSizeGiB: number },
  run: UploadToken & { resumable: boolean },
): StartRequest {
  const description =
    options.description ??
    (typeof options.source === 'string' && options.source !== '-'
      ? basename(options.source).slice(0, MAX_DESCRIPTION)
      : undefined);
  const tags = [...(options.tags ?? [])];
  if (run.marked && tags.length < MAX_TAGS) tags.push(UPLOAD_MARKER_TAG);
  const encrypted = options.kmsKeyId !== undefined || options.encrypted === true;
  return {
    volumeSizeGiB: options.volumeSizeGiB,
    clientToken: run.clientToken,
    timeoutMinutes: run.resumable ? RESUMABLE_TIMEOUT : STREAM_TIMEOUT,
    ...(tags.length === 0 ? {} : { tags }),
    ...(description === undefined ? {} : { description }),
    ...(options.parentSnapshotId === undefined ? {} : { parentSnapshotId: options.parentSnapshotId }),
    ...(encrypted ? { encrypted: true } : {}),
    ...(options.kmsKeyId === undefined ? {} : { kmsKeyArn: options.kmsKeyId }),
  };
}
