/** The journal of a download: which blocks are safe on the target, and digests that prove it to a later run. */
import type { ServiceIdentity } from '../../ebs/service.ts';
import type { BlockRange } from '../engine/range-set.ts';
import type { JournalReader } from './journal.ts';
import { isLegacyCheckpoint } from './legacy.ts';
import { isCount, isEarlierVersion, isOptional, isRanges, isService, provesTooLittle } from './schema.ts';

export interface RestoreJournal {
  readonly version: 2;
  readonly kind: 'download';
  readonly service: ServiceIdentity;
  readonly snapshotId: string;
  readonly target: string;
  /** The inode of the partial file, where there is one. */
  readonly instance?: string;
  readonly volumeSize: number;
  readonly blockSize: number;
  readonly done: readonly BlockRange[];
  /** Digests of the blocks that are done, as {@link ChunkDigests.save} gives them. */
  readonly digests: string;
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
  | { readonly kind: 'usable'; readonly journal: RestoreJournal };

/** Looks for the journal of this snapshot on this target. Files that are none are moved aside. */
export async function findRestoreJournal(journal: JournalReader, snapshotId: string): Promise<RestoreLookup> {
  const reading = await journal.read();
  if (reading.kind !== 'found') return reading;
  const { content } = reading;
  if (isLegacyCheckpoint(content))
    return { kind: 'rejected', reason: 'it is a checkpoint of coldsnap 0.12, which has no checksums' };
  if (reading.sealed && isEarlierVersion(content)) return { kind: 'rejected', reason: provesTooLittle };
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
    journal.version === 2 &&
    journal.kind === 'download' &&
    isService(journal.service) &&
    typeof journal.snapshotId === 'string' &&
    typeof journal.target === 'string' &&
    isOptional(journal.instance, 'string') &&
    isCount(journal.volumeSize) &&
    isCount(journal.blockSize) &&
    isRanges(journal.done) &&
    isOptional(journal.committing, 'string') &&
    typeof journal.digests === 'string'
  );
}
