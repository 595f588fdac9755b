/** What an upload has to do, in ascending order. */
import type { SourceExtent } from '../image/source.ts';
import type { RangeSet } from './range-set.ts';

export type UploadStep =
  /** Read the block and put it. */
  | { readonly kind: 'put'; readonly block: number }
  /** Put a block of zeros, without reading. */
  | { readonly kind: 'put-zeros'; readonly block: number }
  /** An earlier run has put the block; it is read again for its digest alone. */
  | { readonly kind: 'digest'; readonly block: number }
  /** Blocks `start` … `end - 1` are not sent. */
  | { readonly kind: 'leave'; readonly start: number; readonly end: number };

export interface UploadPlanOptions {
  readonly blockSize: number;
  readonly volumeSize: number;
  /**
   * A child keeps its parent's content wherever nothing is put: so holes, and what lies between the end of the source
   * and that of the volume, have to be put as zeros.
   */
  readonly hasParent: boolean;
  /** Blocks that an earlier run has put, or left out. */
  readonly done: RangeSet;
  /** All blocks below this one are accounted for, in count and digest. */
  readonly from: number;
  /** Asked before each block: whether a stream has ended, so that nothing is left to read. */
  readonly ended: () => boolean;
}

/** Turns a source's extents into steps that cover the volume exactly, from block `from` on. */
export async function* planUpload(
  extents: AsyncIterable<SourceExtent>,
  options: UploadPlanOptions,
): AsyncGenerator<UploadStep, void, undefined> {
  const { blockSize, from } = options;
  const blockCount = options.volumeSize / blockSize;
  let next = 0;
  for await (const extent of extents) {
    const start = Math.max(extent.offset / blockSize, from);
    next = Math.ceil((extent.offset + extent.length) / blockSize);
    if (extent.kind === 'hole') {
      yield* nothingThere(start, next, options);
      continue;
    }
    for (let block = start; block < next; block++) {
      if (options.ended()) {
        yield* nothingThere(block, blockCount, options);
        return;
      }
      yield { kind: options.done.has(block) ? 'digest' : 'put', block };
    }
  }
  yield* nothingThere(Math.max(next, from), blockCount, options);
}

function* nothingThere(
  start: number,
  end: number,
  options: UploadPlanOptions,
): Generator<UploadStep, void, undefined> {
  if (end <= start) return;
  if (!options.hasParent) {
    yield { kind: 'leave', start, end };
    return;
  }
  for (let block = start; block < end; block++) yield { kind: 'put-zeros', block };
}
