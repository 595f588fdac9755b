/** Proves that an image still holds what a journal claims: all of it is read back and compared, chunk by chunk. */
import { abortedError } from '../../cancel.ts';
import type { Geometry } from '../../geometry.ts';
import { allocateSlab, type BlockRead } from '../../native/index.ts';
import { type BlockRange, RangeSet } from '../engine/range-set.ts';
import { runWorkers } from '../engine/workers.ts';
import { ChunkDigests } from './chunk-digests.ts';

/** Bytes in one read, at most 1,024 blocks; a block may be larger. */
const READ_BYTES = 4 * 2 ** 20;
/** While one piece is hashed the next is read. */
const READERS = 2;

export interface Claim {
  readonly done: RangeSet;
  readonly digests: ChunkDigests;
  /** Bytes. */
  readonly blockSize: number;
  /** Blocks of the volume. */
  readonly blockCount: number;
}

export function nothingDone({ volumeSize, blockSize }: Geometry): Claim {
  const blockCount = volumeSize / blockSize;
  return { done: new RangeSet(), digests: new ChunkDigests(blockCount), blockSize, blockCount };
}

interface Reader {
  /** The parts of a range of bytes that are no holes. */
  readonly dataRanges: (start: number, end: number) => AsyncIterable<{ start: number; end: number }>;
  /** Reads blocks past the cache, with their digests. */
  readonly read: (reads: readonly BlockRead[]) => Promise<readonly { zero: boolean; digest: Uint8Array }[]>;
  readonly signal: AbortSignal;
  /** Called with the number of blocks that were read. */
  readonly onRead: (blocks: number) => void;
  /** Called with the SHA-256 of each block that is not all zeros. */
  readonly onDigest?: ((block: number, digest: Uint8Array) => Promise<void>) | undefined;
}

/**
 * Reads back every block that counts as done; holes are zeros. Flush the image first.
 * @returns the chunks that differ from the claim
 * @throws ColdsnapError class `aborted` when the signal fires, or the error of a read
 */
export async function findChangedChunks(claim: Claim, reader: Reader): Promise<number[]> {
  const { digests, blockSize, blockCount } = claim;
  const found = new ChunkDigests(blockCount);
  const most = Math.max(1, Math.floor(READ_BYTES / blockSize));
  const slab = allocateSlab(READERS * most * blockSize);
  const read = async ([start, end]: BlockRange, worker: number) => {
    if (reader.signal.aborted) throw abortedError(reader.signal);
    const reads = Array.from({ length: end - start }, (_, at) => ({
      data: new Uint8Array(slab, (worker * most + at) * blockSize, blockSize),
      offset: (start + at) * blockSize,
    }));
    const results = await reader.read(reads);
    for (const [at, { zero, digest }] of results.entries()) {
      if (zero) continue;
      found.add(start + at, digest);
      await reader.onDigest?.(start + at, digest);
    }
    reader.onRead(end - start);
  };
  await runWorkers(READERS, piecesOf(claim, reader, most), read, () => {});
  return chunksOf(claim).filter((chunk) => !found.equal(chunk, digests));
}

/** Yields what counts as done in pieces of at most `most` blocks; holes are skipped, and reported as read. */
async function* piecesOf(
  { done, blockSize }: Claim,
  reader: Reader,
  most: number,
): AsyncGenerator<BlockRange, void, undefined> {
  for (const [start, end] of done.ranges()) {
    let next = start;
    for await (const range of reader.dataRanges(start * blockSize, end * blockSize)) {
      const last = Math.min(end, Math.ceil(range.end / blockSize));
      const first = Math.max(next, Math.floor(range.start / blockSize));
      reader.onRead(first - next);
      for (next = first; next < last; next = Math.min(next + most, last))
        yield [next, Math.min(next + most, last)];
    }
    reader.onRead(end - next);
  }
}

/** Takes chunks back: their blocks do not count as done any more. */
export function forget({ done, digests }: Claim, chunks: readonly number[]): void {
  for (const chunk of chunks) {
    done.remove(chunk * digests.chunkBlocks, (chunk + 1) * digests.chunkBlocks);
    digests.clear(chunk);
  }
}

/** Whether a chunk that is done holds data, so that the image can be recognized by it. */
export function hasData(claim: Claim, except: readonly number[] = []): boolean {
  return chunksOf(claim).some((chunk) => !claim.digests.isEmpty(chunk) && !except.includes(chunk));
}

/** The chunks with a block that is done. */
function chunksOf({ done, digests }: Claim): number[] {
  const chunks = new RangeSet(
    done.ranges().map(([start, end]): BlockRange => [digests.chunkOf(start), digests.chunkOf(end - 1) + 1]),
  );
  return chunks
    .ranges()
    .flatMap(([start, end]) => Array.from({ length: end - start }, (_, at) => start + at));
}
