/** The options of an upload: checked before anything is opened or requested, then turned into requests. */
import { basename } from 'node:path';
import type { SnapshotTag, StartedSnapshot, StartRequest } from '../../ebs/api.ts';
import { GIB, MAX_VOLUME_GIB } from '../../geometry.ts';
import type { UploadToken } from '../journal/upload.ts';
import {
  badTag,
  badVolumeSize,
  descriptionTooLong,
  omitWithDefaultEncryption,
  omitWithEncryption,
  omitWithParent,
  parentWithEncryption,
  sourceTooLarge,
  volumeTooSmall,
} from '../messages.ts';
import type { UploadOptions } from '../options.ts';
import { UPLOAD_MARKER_TAG } from './marker.ts';

/** The properties of a new snapshot; `source` gives it its description. */
type SnapshotOptions = Omit<UploadOptions, 'source'> & Partial<Pick<UploadOptions, 'source'>>;

/** Limits of StartSnapshot, from the service model. */
const MAX_DESCRIPTION = 255;
const MAX_TAGS = 50;
const MAX_TAG_KEY = 127;
const MAX_TAG_VALUE = 255;

/**
 * Refuses options that contradict one another or the service's limits.
 * @throws ColdsnapError class `usage`, or `refused` where omitted zeros would read as something else
 */
export function checkUploadOptions(options: SnapshotOptions): void {
  const encrypts = asksForEncryption(options);
  const child = options.parentSnapshotId !== undefined;
  if (encrypts && child) throw parentWithEncryption();
  if (options.omitZeroBlocks && encrypts) throw omitWithEncryption();
  if (options.omitZeroBlocks && child) throw omitWithParent();
  const size = options.volumeSizeGiB;
  if (size !== undefined && (!Number.isInteger(size) || size < 1 || size > MAX_VOLUME_GIB))
    throw badVolumeSize(size);
  if ((options.description?.length ?? 0) > MAX_DESCRIPTION) throw descriptionTooLong(MAX_DESCRIPTION);
  checkTags(options.tags ?? []);
}

/**
 * Checks a snapshot that was just started, before anything is put: the account's default may have encrypted it, and omitted
 * blocks would then read as random data.
 * @throws ColdsnapError class `refused`
 */
export function checkOmission(snapshot: StartedSnapshot): void {
  if (isEncrypted({}, snapshot)) throw omitWithDefaultEncryption(snapshot.snapshotId);
}

type EncryptionOptions = Pick<UploadOptions, 'encrypted' | 'kmsKeyId'>;

/** Whether the options ask for encryption. */
export function asksForEncryption({ kmsKeyId, encrypted }: EncryptionOptions): boolean {
  return kmsKeyId !== undefined || encrypted === true;
}

/** Whether what is never put reads as random data: with encryption as requested, as the parent's or as the account's default. */
export function isEncrypted(
  options: EncryptionOptions,
  { kmsKeyArn, sseType = 'none' }: StartedSnapshot,
): boolean {
  return asksForEncryption(options) || kmsKeyArn !== undefined || sseType !== 'none';
}

function checkTags(tags: readonly SnapshotTag[]): void {
  const keys = new Set<string>();
  for (const { key, value } of tags) {
    if (key.length < 1 || key.length > MAX_TAG_KEY)
      throw badTag(`a tag's key has 1 to ${MAX_TAG_KEY} characters: "${key}"`);
    if (value === undefined) throw badTag(`tag "${key}" has no value`);
    if (value.length > MAX_TAG_VALUE)
      throw badTag(`the value of tag "${key}" is longer than ${MAX_TAG_VALUE} characters`);
    if (/^aws:/i.test(key)) throw badTag(`tag "${key}": keys that begin with "aws:" belong to AWS`);
    if (keys.has(key)) throw badTag(`tag "${key}" is given twice`);
    keys.add(key);
  }
  if (keys.size > MAX_TAGS) throw badTag(`a snapshot has at most ${MAX_TAGS} tags, not ${keys.size}`);
}

/**
 * The volume's size in GiB: as requested, or the source's rounded up.
 * @param parentBytes size of the volume of a parent, which is the default
 * @throws ColdsnapError class `usage` when the source does not fit
 */
export function volumeSizeFor(options: UploadOptions, sourceBytes: number, parentBytes?: number): number {
  const needed = Math.max(1, Math.ceil(sourceBytes / GIB));
  const size = options.volumeSizeGiB ?? (parentBytes === undefined ? needed : parentBytes / GIB);
  if (needed > MAX_VOLUME_GIB) throw sourceTooLarge(needed);
  if (size < needed) throw volumeTooSmall(sourceBytes, size, needed);
  return size;
}

/** Minutes without a put until the service cancels the snapshot: the most it allows, where a later run can resume. */
const RESUMABLE_TIMEOUT = 4_320;
/** A stream cannot be resumed; a day is enough for pauses in what feeds it. */
const STREAM_TIMEOUT = 1_440;

/**
 * Where zero blocks are omitted, one in 16,384 is put anyway, because the service cancels a snapshot that receives no
 * block for long. At 512 KiB that is one every 8 GiB. Chosen by index and not by time, so that a later run knows which
 * were put.
 */
const KEEPALIVE_BLOCKS = 16_384;

/** The snapshot that a sink makes. */
export interface NewSnapshot {
  /** The same token gives the same request, and so the same snapshot. */
  readonly request: (token: UploadToken) => StartRequest;
  /** Bytes. */
  readonly volumeSize: number;
  /** The source's stamp, for the journal. */
  readonly stamp: string | undefined;
  /** Must be the same for a later run to resume: everything that decides what is put. */
  readonly parameters: string;
  /** Whether the user gave tags. */
  readonly tagged: boolean;
  /** A child keeps its parent's content wherever nothing is put. */
  readonly hasParent: boolean;
  /** Whether a block of zeros is not put. */
  readonly omitsZeros: (index: number) => boolean;
  readonly onFailure: 'keep' | 'delete';
  readonly keepJournal: boolean;
}

/**
 * @param source what tells whether the source, its map of holes and what it is compared with have changed
 * @param resumable whether a later run can resume the upload
 */
export function newSnapshot(
  options: SnapshotOptions & { volumeSizeGiB: number },
  source: {
    readonly holeMapDigest?: string | undefined;
    readonly stamp: string | undefined;
    readonly base?: string | undefined;
  },
  resumable: boolean,
): NewSnapshot {
  const request = (token: UploadToken) => startRequest(options, { ...token, resumable });
  const { omitZeroBlocks = false, detectHoles = false } = options;
  return {
    request,
    volumeSize: options.volumeSizeGiB * GIB,
    stamp: source.stamp,
    parameters: JSON.stringify({
      ...request({ clientToken: '', marked: false }),
      omitZeroBlocks,
      detectHoles,
      holeMap: source.holeMapDigest ?? '',
      ...(source.base === undefined ? {} : { base: source.base }),
    }),
    tagged: (options.tags ?? []).length > 0,
    hasParent: options.parentSnapshotId !== undefined,
    omitsZeros: (index) => omitZeroBlocks && index % KEEPALIVE_BLOCKS !== KEEPALIVE_BLOCKS - 1,
    onFailure: options.onFailure ?? 'keep',
    keepJournal: options.keepCheckpoint === true,
  };
}

/** The request that starts the snapshot. Only these parameters and the client token make it the same snapshot again. */
export function startRequest(
  options: SnapshotOptions & { volumeSizeGiB: number },
  run: UploadToken & { resumable: boolean },
): StartRequest {
  const description =
    options.description ??
    (typeof options.source === 'string' && options.source !== '-'
      ? basename(options.source).slice(0, MAX_DESCRIPTION)
      : undefined);
  const tags = [...(options.tags ?? [])];
  // The user's own tag of that name is a mark, too.
  const own = tags.some(({ key }) => key === UPLOAD_MARKER_TAG.key);
  if (run.marked && !own && tags.length < MAX_TAGS) tags.push(UPLOAD_MARKER_TAG);
  const encrypted = asksForEncryption(options);
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
