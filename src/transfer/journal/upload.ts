/** The journal of an upload: its snapshot, what has been put, and the state of the LINEAR checksum. */
import { createHash } from 'node:crypto';
import { extname } from 'node:path';
import type { ServiceIdentity } from '../../ebs/service.ts';
import type { BlockRange } from '../engine/range-set.ts';
import type { LinearPrefix } from '../snapshot/linear-digest.ts';
import type { JournalReader } from './journal.ts';
import { isCount, isEarlierVersion, isOptional, isRanges, isService, provesTooLittle } from './schema.ts';

/** With the same token and parameters, StartSnapshot returns the same snapshot again. */
export interface UploadToken {
  readonly clientToken: string;
  /** Whether the snapshot was started with the marker tag: a repeated start must have the same tags. */
  readonly marked: boolean;
}

export interface UploadJournal extends UploadToken {
  readonly version: 2;
  readonly kind: 'upload';
  readonly service: ServiceIdentity;
  /** Empty until StartSnapshot has answered. */
  readonly snapshotId: string;
  /** Everything that decides which blocks are put, and with which parameters the snapshot was started. */
  readonly parameters: string;
  readonly source: string;
  /** The source's stamp, which changes when the source is written. */
  readonly stamp?: string;
  readonly blockSize: number;
  /** Set when everything was put and the completion is about to be requested. */
  readonly completing?: boolean;
  /** Set when the service has accepted the completion. */
  readonly accepted?: boolean;
  readonly done: readonly BlockRange[];
  /** Digests of the blocks that are done, as {@link ChunkDigests.save} gives them. */
  readonly digests: string;
  readonly linear: {
    readonly block: number;
    readonly count: number;
    readonly state: string;
    /** Start, end and digest of what is finished ahead; no digest for what is not put. Earlier journals have none. */
    readonly ahead?: readonly (readonly [start: number, end: number, digest: string])[];
  };
}

/** The source's journal for this destination: an image can be uploaded to several regions at the same time. */
export function journalPathFor(path: string, { endpoint, region }: ServiceIdentity): string {
  const extension = extname(path);
  const other = createHash('sha256').update(endpoint).digest('hex').slice(0, 8);
  // A region is in one partition, so it names AWS's own endpoints.
  const destination = endpoint.startsWith('aws') ? region : `${region}-${other}`;
  return `${path.slice(0, -extension.length)}.${destination}${extension}`;
}

/** The snapshot of an earlier run, and whether that run had put everything. */
export type EarlierSnapshot = Pick<UploadJournal, 'snapshotId' | 'completing'>;

/** The journal of an earlier run. `rejected` gives the reason why it cannot be used, and its snapshot. */
export type UploadLookup =
  | { readonly kind: 'none' }
  | { readonly kind: 'rejected'; readonly reason: string; readonly earlier?: EarlierSnapshot }
  | { readonly kind: 'usable'; readonly journal: UploadJournal };

/** Looks for the journal of an unfinished upload of this very source with these very parameters. */
export async function findUploadJournal(journal: JournalReader, parameters: string): Promise<UploadLookup> {
  const reading = await journal.read();
  if (reading.kind !== 'found') return reading;
  const { content } = reading;
  if (reading.sealed && isEarlierVersion(content)) {
    const { snapshotId } = content as { snapshotId?: unknown };
    const known = typeof snapshotId === 'string' && snapshotId !== '';
    return { kind: 'rejected', reason: provesTooLittle, ...(known ? { earlier: { snapshotId } } : {}) };
  }
  if (!reading.sealed || !isUploadJournal(content)) {
    const reason = await journal.setAside('it is not an upload journal of this version');
    return { kind: 'rejected', reason };
  }
  const earlier = content.snapshotId === '' ? {} : { earlier: content };
  if (content.source !== journal.location.identity)
    return { kind: 'rejected', reason: 'it belongs to another source', ...earlier };
  if (content.parameters !== parameters)
    return { kind: 'rejected', reason: 'the upload had other options', ...earlier };
  return { kind: 'usable', journal: content };
}

/** The state of the LINEAR checksum as a journal keeps it. */
export function savedPrefix({ block, count, state, ahead = [] }: LinearPrefix): UploadJournal['linear'] {
  const base64 = (bytes: Uint8Array = new Uint8Array()) => Buffer.from(bytes).toString('base64');
  return {
    block,
    count,
    state: base64(state),
    ahead: ahead.map(({ start, end, digest }) => [start, end, base64(digest)] as const),
  };
}

export function restoredPrefix({ block, count, state, ahead = [] }: UploadJournal['linear']): LinearPrefix {
  return {
    block,
    count,
    state: Buffer.from(state, 'base64'),
    ahead: ahead.map(([start, end, digest]) => ({
      start,
      end,
      digest: digest === '' ? undefined : Buffer.from(digest, 'base64'),
    })),
  };
}

function isUploadJournal(content: unknown): content is UploadJournal {
  const journal = content as Partial<UploadJournal> | null | undefined;
  return (
    typeof journal === 'object' &&
    journal !== null &&
    journal.version === 2 &&
    journal.kind === 'upload' &&
    [journal.snapshotId, journal.clientToken, journal.parameters, journal.source].every(
      (text) => typeof text === 'string',
    ) &&
    isService(journal.service) &&
    isOptional(journal.stamp, 'string') &&
    typeof journal.digests === 'string' &&
    typeof journal.marked === 'boolean' &&
    isCount(journal.blockSize) &&
    isOptional(journal.completing, 'boolean') &&
    isOptional(journal.accepted, 'boolean') &&
    isRanges(journal.done) &&
    isCount(journal.linear?.block) &&
    isCount(journal.linear?.count) &&
    typeof journal.linear?.state === 'string' &&
    isAhead(journal.linear.ahead)
  );
}

function isAhead(ahead: unknown): boolean {
  if (ahead === undefined) return true;
  const isDigest = (text: unknown) => typeof text === 'string' && (text === '' || /^[\w+/]{43}=$/.test(text));
  return (
    Array.isArray(ahead) &&
    isRanges(ahead.map((range: unknown) => (Array.isArray(range) ? range.slice(0, 2) : range))) &&
    ahead.every((range: unknown[]) => isDigest(range[2]))
  );
}
