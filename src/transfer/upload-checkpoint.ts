/** An upload's journal: its snapshot, what has been put, and the state of the LINEAR checksum. */

import { readJournal, removeJournal, setJournalAside, writeJournal } from './journal.ts';
import type { LinearDigest, LinearPrefix } from './linear-digest.ts';
import type { BlockRange, RangeSet } from './range-set.ts';

/** What makes a repeated StartSnapshot give the same snapshot again. */
export interface UploadToken {
  readonly clientToken: string;
  /** Whether the snapshot was started with the marker tag: a repeated start must have the same tags. */
  readonly marked: boolean;
}

interface UploadJournal extends UploadToken {
  readonly version: 1;
  readonly kind: 'upload';
  /** Empty until StartSnapshot has answered. */
  readonly snapshotId: string;
  /** Everything that decides which blocks are put, and with which parameters the snapshot was started. */
  readonly parameters: string;
  readonly source: string;
  readonly blockSize: number;
  /** There once everything was put and the completion was about to be asked for. */
  readonly completing?: boolean;
  readonly done: readonly BlockRange[];
  readonly linear: { readonly block: number; readonly count: number; readonly state: string };
}

export interface JournalLocation {
  readonly path: string;
  readonly identity: string;
}

export type UploadLookup =
  | { readonly kind: 'none' }
  | { readonly kind: 'unfit'; readonly reason: string; readonly snapshotId?: string }
  | { readonly kind: 'fits'; readonly journal: UploadJournal; readonly prefix: LinearPrefix };

/** Looks for the journal of an unfinished upload of this very source with these very parameters. */
export async function findUploadJournal(place: JournalLocation, parameters: string): Promise<UploadLookup> {
  const reading = await readJournal(place.path);
  if (reading.kind === 'absent') return { kind: 'none' };
  const content = reading.kind === 'present' ? reading.content : undefined;
  const sealed = reading.kind === 'present' && reading.sealed;
  if (!sealed || !isUploadJournal(content)) {
    const why = reading.kind === 'corrupt' ? reading.reason : 'it is not an upload journal of this version';
    const where = await setJournalAside(place.path).catch(() => undefined);
    return { kind: 'unfit', reason: where === undefined ? why : `${why} (kept as ${where})` };
  }
  const leftover = content.snapshotId === '' ? {} : { snapshotId: content.snapshotId };
  if (content.source !== place.identity)
    return { kind: 'unfit', reason: 'the source has changed', ...leftover };
  if (content.parameters !== parameters)
    return { kind: 'unfit', reason: 'the upload had other options', ...leftover };
  const { block, count, state } = content.linear;
  return { kind: 'fits', journal: content, prefix: { block, count, state: Buffer.from(state, 'base64') } };
}

export class UploadCheckpoint {
  readonly #place: JournalLocation;
  readonly #header: Omit<UploadJournal, 'done' | 'linear' | 'completing'>;

  constructor(
    place: JournalLocation,
    header: UploadToken & { snapshotId: string; parameters: string; blockSize: number },
  ) {
    this.#place = place;
    this.#header = { version: 1, kind: 'upload', source: place.identity, ...header };
  }

  /** Writes down what has been put until now; the service has it already, so nothing needs to be synced first. */
  async save(done: RangeSet, linear: LinearDigest, completing: boolean): Promise<void> {
    const { block, count, state } = linear.prefix();
    const content: UploadJournal = {
      ...this.#header,
      ...(completing ? { completing } : {}),
      done: done.ranges(),
      linear: { block, count, state: Buffer.from(state).toString('base64') },
    };
    await writeJournal(this.#place.path, content);
  }

  remove(): Promise<void> {
    return removeJournal(this.#place.path);
  }
}

function isUploadJournal(content: unknown): content is UploadJournal {
  const journal = content as Partial<UploadJournal> | null | undefined;
  return (
    typeof journal === 'object' &&
    journal !== null &&
    journal.version === 1 &&
    journal.kind === 'upload' &&
    [journal.snapshotId, journal.clientToken, journal.parameters, journal.source].every(
      (text) => typeof text === 'string',
    ) &&
    typeof journal.marked === 'boolean' &&
    isCount(journal.blockSize) &&
    (journal.completing === undefined || typeof journal.completing === 'boolean') &&
    Array.isArray(journal.done) &&
    journal.done.every(
      (range) => Array.isArray(range) && isCount(range[0]) && isCount(range[1]) && range[0] < range[1],
    ) &&
    isCount(journal.linear?.block) &&
    isCount(journal.linear?.count) &&
    typeof journal.linear?.state === 'string'
  );
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}
