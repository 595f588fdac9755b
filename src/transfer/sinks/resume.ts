/** What a later run may keep of an interrupted restore: every byte is read back before it is trusted. */
import type { Geometry } from '../../geometry.ts';
import { openSource } from '../../image/open-source.ts';
import type { ResumableTarget } from '../../image/target.ts';
import { RangeSet } from '../engine/range-set.ts';
import { ChunkDigests } from '../journal/chunk-digests.ts';
import { type Claim, findChangedChunks, forget, hasData, type Reader } from '../journal/prove.ts';
import type { RestoreJournal } from '../journal/restore.ts';
import type { Run } from '../run/run.ts';
import { verifying } from '../run/verifying.ts';

/** What a journal claims of its target. */
export function claimOf({ volumeSize, blockSize, done, digests }: RestoreJournal): Claim {
  const blockCount = volumeSize / blockSize;
  return {
    done: new RangeSet(done),
    digests: new ChunkDigests(blockCount, digests),
    blockSize,
    blockCount,
  };
}

export function nothingDone({ volumeSize, blockSize }: Geometry): Claim {
  const blockCount = volumeSize / blockSize;
  return { done: new RangeSet(), digests: new ChunkDigests(blockCount), blockSize, blockCount };
}

/** What is left of a claim after reading back. `unknown`: nothing shows that this is the target of the earlier run. */
export type Proof =
  | { readonly kind: 'proved'; readonly changedBlocks: number }
  | { readonly kind: 'unknown' };

/** Reads back what counts as done, and takes back what differs. */
export async function prove(run: Run, claim: Claim, target: ResumableTarget): Promise<Proof> {
  const read: Reader['read'] = (reads) => target.readBlocks(reads, { pastCache: true });
  const changed = await findChangedChunks(claim, { read, ...verifying(run, claim) });
  // A disk without a single right block is another disk, whose data are not ours to overwrite.
  if (changed.length > 0 && hasData(claim) && !hasData(claim, changed)) return { kind: 'unknown' };
  const before = claim.done.size;
  forget(claim, changed);
  return { kind: 'proved', changedBlocks: before - claim.done.size };
}

/** Whether a finished image, under its own name, still is what the journal claims. */
export async function isIntact(run: Run, claim: Claim, path: string): Promise<boolean> {
  const image = await openSource(path, { format: 'raw' });
  try {
    const changed = await findChangedChunks(claim, {
      read: (reads) => image.readBlocks(reads),
      ...verifying(run, claim),
    });
    return changed.length === 0 && claim.done.size === claim.blockCount;
  } finally {
    await image.close();
  }
}
