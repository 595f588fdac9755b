/** The journal of a download: which blocks are safe on the target, and digests that prove it to a later run. */
import { isSameService, type ServiceIdentity } from '../../ebs/service.ts';
import { holdsNoBase } from '../../image/messages/targets.ts';
import type { ImageTarget } from '../../image/target.ts';
import { checkIdle } from '../../image/unfinished-image.ts';
import { type BlockRange, RangeSet } from '../engine/range-set.ts';
import { fullUnfinished, targetBetween } from '../messages.ts';
import { ChunkDigests } from './chunk-digests.ts';
import type { JournalReader } from './journal.ts';
import { isLegacyCheckpoint } from './legacy.ts';
import type { Claim } from './prove.ts';
import { isCount, isEarlierVersion, isOptional, isRanges, isService, provesTooLittle } from './schema.ts';

export interface RestoreJournal {
  readonly version: 2;
  readonly kind: 'download';
  readonly service: ServiceIdentity;
  readonly snapshotId: string;
  /** The snapshot that the target held before, for an incremental download. */
  readonly base?: string | undefined;
  readonly target: string;
  /** The inode of the partial file, where there is one. */
  readonly instance?: string;
  readonly volumeSize: number;
  readonly blockSize: number;
  readonly done: readonly BlockRange[];
  /** Digests of the blocks that are done, as {@link ChunkDigests.save} gives them. */
  readonly digests: string;
  /**
   * Set when all blocks are safe and the commit begins: the target's stamp, empty where it has none. A device's block 0
   * may then be there, or a part of it.
   */
  readonly committing?: string;
  /** Set in a journal that is kept after success: the target holds the snapshot. */
  readonly finished?: boolean;
}

/** The journal of what is done. */
export function restoreJournal(
  header: Pick<RestoreJournal, 'service' | 'snapshotId' | 'base' | 'target' | 'volumeSize' | 'blockSize'>,
  { done, digests }: Claim,
  committing: string | undefined,
): RestoreJournal {
  return {
    version: 2,
    kind: 'download',
    ...header,
    done: done.ranges(),
    digests: digests.save(),
    ...(committing === undefined ? {} : { committing }),
  };
}

/** The blocks that a journal claims are on its target. */
export function claimOf({ volumeSize, blockSize, done, digests }: RestoreJournal): Claim {
  const blockCount = volumeSize / blockSize;
  return {
    done: new RangeSet(done),
    digests: new ChunkDigests(blockCount, digests),
    blockSize,
    blockCount,
  };
}

/** The journal of an earlier run. `rejected` gives the reason why it cannot be used. */
export type RestoreLookup =
  | { readonly kind: 'none' }
  | { readonly kind: 'rejected'; readonly reason: string }
  | { readonly kind: 'usable'; readonly journal: RestoreJournal };

/** The download that a journal must be of to be used. */
interface WantedRestore {
  readonly snapshotId: string;
  readonly base?: string | undefined;
  readonly target: ImageTarget;
  /** Whether a full download may overwrite an interrupted incremental one. */
  readonly force?: boolean | undefined;
}

/**
 * Looks for the journal of this download on this target. Files that are none are moved aside.
 * @throws ColdsnapError `TARGET_BETWEEN` for a target that another download has left between two states, `TARGET_BUSY` for one
 *   that it is writing, `TARGET_HOLDS_NO_BASE` for one that holds another snapshot than the base
 */
export async function findRestoreJournal(
  journal: JournalReader,
  { snapshotId, base, target, force = false }: WantedRestore,
): Promise<RestoreLookup> {
  const { label } = target;
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
  if (content.target !== journal.location.identity)
    return { kind: 'rejected', reason: 'it belongs to another target' };
  const isOther = content.snapshotId !== snapshotId || content.base !== base;
  if (isOther && base !== undefined && content.finished) {
    if (base === content.snapshotId) return { kind: 'none' };
    const { path } = journal.location;
    throw holdsNoBase(label, `holds ${content.snapshotId} by the journal that was kept (${path})`);
  }
  // Force overwrites a target, but does not make it hold the base.
  if (isOther && !content.finished && (base !== undefined || (content.base !== undefined && !force))) {
    await checkIdle(target);
    throw content.base === undefined
      ? fullUnfinished(label, content.snapshotId)
      : targetBetween(label, describeDownload(content));
  }
  if (isOther) return { kind: 'rejected', reason: `it belongs to ${describeDownload(content)}` };
  return { kind: 'usable', journal: content };
}

/**
 * Whether a journal is of this service. The snapshots of another one may be others, though they have the same names.
 * @throws ColdsnapError `TARGET_BETWEEN` if it is not, and of an incremental download: its target does not hold the base
 */
export function isOfService(journal: RestoreJournal, service: ServiceIdentity, label: string): boolean {
  if (isSameService(service, journal.service)) return true;
  if (journal.base === undefined) return false;
  throw targetBetween(label, `${describeDownload(journal)} of another service`);
}

/** `snap-2`, or `snap-2 based on snap-1`. */
function describeDownload({ snapshotId, base }: RestoreJournal): string {
  return base === undefined ? snapshotId : `${snapshotId} based on ${base}`;
}

/** The journal of an interrupted download onto this target; undefined where there is none. */
export async function unfinishedRestore(
  journal: JournalReader,
): Promise<(RestoreJournal & { readonly description: string }) | undefined> {
  const reading = await journal.read();
  if (reading.kind !== 'found' || !reading.sealed || !isRestoreJournal(reading.content)) return undefined;
  const { content } = reading;
  if (content.target !== journal.location.identity || content.finished) return undefined;
  return { ...content, description: describeDownload(content) };
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
    isOptional(journal.base, 'string') &&
    typeof journal.target === 'string' &&
    isOptional(journal.instance, 'string') &&
    isCount(journal.volumeSize) &&
    isCount(journal.blockSize) &&
    isRanges(journal.done) &&
    isOptional(journal.committing, 'string') &&
    isOptional(journal.finished, 'boolean') &&
    typeof journal.digests === 'string'
  );
}
