/** Reads an image to compare it. A stored image is read in any order, a stream from its start to its end. */
import { abortedError, throwIfAborted } from '../../cancel.ts';
import type { Geometry } from '../../geometry.ts';
import type { ImageSource } from '../../image/source.ts';
import { Turns } from '../../image/turns.ts';
import { allocateSlab, type ReceivedBlock } from '../../native/index.ts';
import { Batcher } from '../engine/batch.ts';
import type { Block } from '../engine/block.ts';
import { BlockCheck, type Checked } from '../engine/block-check.ts';
import type { BlockSet } from '../engine/range-set.ts';
import { imageTooShort } from '../messages.ts';
import type { Run } from '../run/run.ts';
import { SlabPool } from './slab-pool.ts';

type ComparedBlock = Pick<Block, 'index' | 'data' | 'digest'>;

interface Comparison {
  readonly outcome: Checked;
  /** False after a mismatch. */
  readonly equal: boolean;
}

export interface ComparedImage {
  /** Checks a block, and compares it if its data have their digest. */
  compare(block: ComparedBlock): Promise<Comparison>;
  /** Calls back for each range of blocks in `start` … `end - 1` that does not read as zeros. */
  findData(start: number, end: number, found: (start: number, end: number) => void): Promise<void>;
  /** Blocks `start` … `end - 1` are not compared. */
  skip(start: number, end: number): Promise<void>;
  /** Resolves, after the last block, with whether the image is longer than the volume. */
  finish(): Promise<boolean>;
}

/** Bytes in one call; a block may be larger. */
const READ_BYTES = 2 ** 23;
/** The same in blocks. */
const MOST_BLOCKS = 256;
/** Calls at a time. */
const READS = 4;

/** @param skipped blocks that no method is called with */
export function comparedImage(
  run: Run,
  image: ImageSource,
  geometry: Geometry,
  skipped: BlockSet,
): ComparedImage {
  return image.compareBlocks === undefined
    ? new StreamImage(run, image, geometry, skipped)
    : new StoredImage(run, image, geometry, image.compareBlocks.bind(image));
}

class StoredImage implements ComparedImage {
  readonly #run: Run;
  readonly #image: ImageSource;
  readonly #geometry: Geometry;
  readonly #perRead: number;
  readonly #slabs: SlabPool;
  readonly #comparisons: Batcher<ReceivedBlock, Comparison>;

  constructor(
    run: Run,
    image: ImageSource,
    geometry: Geometry,
    compare: NonNullable<ImageSource['compareBlocks']>,
  ) {
    this.#run = run;
    this.#image = image;
    this.#geometry = geometry;
    this.#perRead = Math.min(MOST_BLOCKS, Math.max(1, Math.floor(READ_BYTES / geometry.blockSize)));
    this.#slabs = new SlabPool(READS, this.#perRead * geometry.blockSize);
    this.#comparisons = new Batcher<ReceivedBlock, Comparison>(run.workers, (blocks) =>
      this.#slabs.use(async (slab) => {
        throwIfAborted(run.signal);
        return compare(blocks, new Uint8Array(slab, 0, geometry.blockSize));
      }),
    );
  }

  compare({ index, data, digest }: ComparedBlock): Promise<Comparison> {
    return this.#comparisons.submit({ data, digest, offset: index * this.#geometry.blockSize });
  }

  async findData(start: number, end: number, found: (start: number, end: number) => void): Promise<void> {
    const { blockSize } = this.#geometry;
    let next = start;
    for await (const range of this.#image.dataRanges(start * blockSize, end * blockSize)) {
      const last = Math.ceil(range.end / blockSize);
      next = Math.max(next, Math.floor(range.start / blockSize));
      while (next < last) {
        const count = Math.min(this.#perRead, last - next);
        await this.#readZeros(next, count, found);
        next += count;
      }
    }
  }

  #readZeros(first: number, count: number, found: (start: number, end: number) => void): Promise<void> {
    const { blockSize } = this.#geometry;
    return this.#slabs.use(async (slab) => {
      throwIfAborted(this.#run.signal);
      const reads = Array.from({ length: count }, (_, at) => ({
        data: new Uint8Array(slab, at * blockSize, blockSize),
        offset: (first + at) * blockSize,
      }));
      const results = await this.#image.readBlocks(reads, { hash: false });
      for (const [at, { zero }] of results.entries()) if (!zero) found(first + at, first + at + 1);
    });
  }

  async skip(): Promise<void> {}

  async finish(): Promise<boolean> {
    return this.#image.sizeBytes > this.#geometry.volumeSize;
  }
}

class StreamImage implements ComparedImage {
  readonly #image: ImageSource;
  readonly #geometry: Geometry;
  readonly #skipped: BlockSet;
  readonly #buffer: Uint8Array;
  readonly #check: BlockCheck;
  readonly #turns = new Turns((offset) => new Error(`offset ${offset} of a stream is compared twice`));
  /** Blocks that were read. */
  #next = 0;

  constructor(run: Run, image: ImageSource, geometry: Geometry, skipped: BlockSet) {
    this.#image = image;
    this.#geometry = geometry;
    this.#skipped = skipped;
    this.#buffer = new Uint8Array(allocateSlab(geometry.blockSize));
    this.#check = new BlockCheck(run);
    const { signal } = run;
    signal.addEventListener('abort', () => this.#turns.fail(abortedError(signal)), { once: true });
  }

  async compare(block: ComparedBlock): Promise<Comparison> {
    const { index, data } = block;
    const outcome = await this.#check.check(block);
    if (outcome === 'mismatch') return { outcome, equal: false };
    return this.#inTurn(index, index + 1, async () => {
      await this.#readNext();
      return { outcome, equal: Buffer.compare(data, this.#buffer) === 0 };
    });
  }

  findData(start: number, end: number, found: (start: number, end: number) => void): Promise<void> {
    return this.#inTurn(start, end, async () => {
      while (this.#next < end) if (!(await this.#readNext())) found(this.#next - 1, this.#next);
    });
  }

  skip(start: number, end: number): Promise<void> {
    return this.#inTurn(start, end, () => this.#readTo(end));
  }

  async finish(): Promise<boolean> {
    const { volumeSize, blockSize } = this.#geometry;
    await this.#readTo(volumeSize / blockSize);
    const [byte] = await this.#image.readBlocks([{ data: this.#buffer.subarray(0, 1), offset: volumeSize }], {
      hash: false,
    });
    return byte?.bytesRead === 1;
  }

  /** Runs `operation` when all blocks before `start` were read. */
  #inTurn<T>(start: number, end: number, operation: () => Promise<T>): Promise<T> {
    const { blockSize } = this.#geometry;
    let from = start;
    while (from > 0 && this.#skipped.has(from - 1)) from--;
    return this.#turns.take(from * blockSize, (end - from) * blockSize, async () => {
      await this.#readTo(start);
      return operation();
    });
  }

  async #readTo(index: number): Promise<void> {
    while (this.#next < index) await this.#readNext();
  }

  /** Reads the next block into the buffer. Resolves with whether it is all zeros. */
  async #readNext(): Promise<boolean> {
    const { blockSize, volumeSize } = this.#geometry;
    const offset = this.#next * blockSize;
    const [block] = await this.#image.readBlocks([{ data: this.#buffer, offset }], { hash: false });
    this.#turns.throwFailure();
    const { bytesRead, zero } = block!;
    if (bytesRead < blockSize) throw imageTooShort(this.#image.label, offset + bytesRead, volumeSize);
    this.#next++;
    return zero;
  }
}
