/** What a download has to do, in ascending order: blocks to fetch, and gaps that must read as zeros. */
import type { BlockReference } from '../ebs/api.ts';
import type { CheckedPage } from '../ebs/list/pages.ts';
import type { RangeSet } from './range-set.ts';

export type PlanStep =
  | { readonly kind: 'fetch'; readonly reference: BlockReference }
  /** Blocks `start` … `end - 1` read as zeros. */
  | { readonly kind: 'zero'; readonly start: number; readonly end: number };

/** Longest gap in one step, in bytes: short enough that an abort is noticed while a device is being zeroed. */
const MAX_ZERO_BYTES = 2 ** 30;

/**
 * Merges a snapshot's pages with what an earlier run has done.
 *
 * @param pages ascending pages of one snapshot, which starts at block 0
 * @param done blocks that are already right and safe; neither fetched nor zeroed again
 */
export async function* planDownload(
  pages: AsyncIterable<CheckedPage<BlockReference>>,
  done: RangeSet,
): AsyncGenerator<PlanStep, void, undefined> {
  let next = 0;
  let blockCount = 0;
  let maxGap = 1;
  for await (const page of pages) {
    blockCount = page.volumeSize / page.blockSize;
    maxGap = Math.max(1, Math.floor(MAX_ZERO_BYTES / page.blockSize));
    for (const reference of page.entries) {
      if (reference.blockIndex > next) yield* gap(next, reference.blockIndex, maxGap, done);
      if (!done.has(reference.blockIndex)) yield { kind: 'fetch', reference };
      next = reference.blockIndex + 1;
    }
  }
  yield* gap(next, blockCount, maxGap, done);
}

function* gap(
  start: number,
  end: number,
  maxGap: number,
  done: RangeSet,
): Generator<PlanStep, void, undefined> {
  for (const [from, to] of done.missing(start, end)) {
    for (let at = from; at < to; at += maxGap) {
      yield { kind: 'zero', start: at, end: Math.min(at + maxGap, to) };
    }
  }
}
