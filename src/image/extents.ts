/** From ranges of bytes that hold data to runs of whole blocks. */
import { nextExtent } from '../native/index.ts';
import type { Descriptor } from './descriptor.ts';
import { holesMoved } from './messages/common.ts';
import type { SourceExtent } from './source.ts';

/** A range of bytes, `end` not included. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/**
 * The parts of `start` … `end` of a file that are no holes. Flush it first: some file systems report a hole where data have
 * no place on the medium yet.
 */
export async function* dataRanges(
  descriptor: Descriptor,
  start: number,
  end: number,
): AsyncGenerator<ByteRange, void, undefined> {
  const { path } = descriptor;
  let position = start;
  while (position < end) {
    const range = await descriptor.use(`look for holes in ${path}`, (fd) => nextExtent(fd, position));
    if (range === null || range.start >= end) return;
    if (range.end <= position) throw holesMoved(path);
    yield { start: Math.max(range.start, position), end: Math.min(range.end, end) };
    position = range.end;
  }
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
