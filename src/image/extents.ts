/** From ranges of bytes that hold data to runs of whole blocks. */
import type { SourceExtent } from './source.ts';

/** A range of bytes, `end` not included. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/** Merges two ascending lists of ranges, by their starts. Ranges may overlap. */
export async function* mergeRanges(
  one: AsyncIterable<ByteRange>,
  other: Iterable<ByteRange>,
): AsyncGenerator<ByteRange, void, undefined> {
  const others = other[Symbol.iterator]();
  let next = others.next();
  for await (const range of one) {
    for (; !next.done && next.value.start <= range.start; next = others.next()) yield next.value;
    yield range;
  }
  for (; !next.done; next = others.next()) yield next.value;
}

/**
 * Runs of blocks that alternate between data and holes and cover the source. A block is a hole only if no data range
 * touches it.
 * @param dataRanges ascending by their starts; they may overlap
 */
export async function* blockRuns(
  dataRanges: AsyncIterable<ByteRange> | Iterable<ByteRange>,
  sizeBytes: number,
  blockSize: number,
): AsyncGenerator<SourceExtent> {
  const total = Math.ceil(sizeBytes / blockSize) * blockSize;
  /** The current run of data. */
  let start = 0;
  let end = 0;
  for await (const range of dataRanges) {
    const from = Math.floor(range.start / blockSize) * blockSize;
    const to = Math.min(Math.ceil(range.end / blockSize) * blockSize, total);
    if (to <= end || range.end <= range.start) continue;
    if (from > end) {
      if (end > start) yield { offset: start, length: end - start, kind: 'data' };
      yield { offset: end, length: from - end, kind: 'hole' };
      start = from;
    }
    end = to;
  }
  if (end > start) yield { offset: start, length: end - start, kind: 'data' };
  if (total > end) yield { offset: end, length: total - end, kind: 'hole' };
}
