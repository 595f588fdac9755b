/** The journal of a download: which blocks are safe on the target, and samples that prove it to a later run. */
import type { BlockRange } from '../engine/range-set.ts';
import type { Journal } from './journal.ts';
import { type LegacyCheckpoint, legacyCheckpoint } from './legacy.ts';
import { isCount, isOptional, isRanges } from './schema.ts';

/** The digest, in base64, of a block that is done. */
export type Sample = readonly [block: number, digest: string];

export interface RestoreJournal {
  readonly version: 1;
  readonly kind: 'download';
  readonly snapshotId: string;
  readonly target: string;
  /** The inode of the partial file, where there is one. */
  readonly instance?: string;
  readonly volumeSize: number;
  readonly blockSize: number;
  readonly done: readonly BlockRange[];
  readonly samples: readonly Sample[];
  /**
   * There once all blocks were safe and the commit began: the target's stamp, empty where it has none. A device's block 0
   * may then be there, or a part of it.
   */
  readonly committing?: string;
}

/** The journal of an earlier run. `rejected` gives the reason why it cannot be used. */
export type RestoreLookup =
  | { readonly kind: 'none' }
  | { readonly kind: 'rejected'; readonly reason: string }
  | { readonly kind: 'usable'; readonly journal: RestoreJournal }
  | ({ readonly kind: 'legacy' } & LegacyCheckpoint);

/** Looks for the journal of this snapshot on this target. Files that are none are moved aside. */
export async function findRestoreJournal(
  journal: Journal<RestoreJournal>,
  snapshotId: string,
): Promise<RestoreLookup> {
  const reading = await journal.read();
  if (reading.kind !== 'found') return reading;
  const { content } = reading;
  const legacy = legacyCheckpoint(content);
  if (legacy !== undefined) {
    if (legacy.snapshotId === snapshotId) return { kind: 'legacy', ...legacy };
    return { kind: 'rejected', reason: `it belongs to ${legacy.snapshotId}` };
  }
  if (!reading.sealed || !isRestoreJournal(content)) {
    const reason = await journal.setAside('it is not a download journal of this version');
    return { kind: 'rejected', reason };
  }
  if (content.snapshotId !== snapshotId)
    return { kind: 'rejected', reason: `it belongs to ${content.snapshotId}` };
  if (content.target !== journal.location.identity)
    return { kind: 'rejected', reason: 'it belongs to another target' };
  return { kind: 'usable', journal: content };
}

function isRestoreJournal(content: unknown): content is RestoreJournal {
  const journal = content as Partial<RestoreJournal> | null;
  return (
    typeof journal === 'object' &&
    journal !== null &&
    journal.version === 1 &&
    journal.kind === 'download' &&
    typeof journal.snapshotId === 'string' &&
    typeof journal.target === 'string' &&
    isOptional(journal.instance, 'string') &&
    isCount(journal.volumeSize) &&
    isCount(journal.blockSize) &&
    isRanges(journal.done) &&
    isOptional(journal.committing, 'string') &&
    Array.isArray(journal.samples) &&
    journal.samples.every(
      (sample) => Array.isArray(sample) && isCount(sample[0]) && typeof sample[1] === 'string',
    )
  );
}
