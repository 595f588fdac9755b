/** A file, block device or stream as a source: its data are read and hashed, its holes read as zeros. */
import { abortedError } from '../../cancel.ts';
import type { Geometry } from '../../geometry.ts';
import type { ImageSource, SourceBlock, SourceExtent } from '../../image/source.ts';
import type { BlockRead } from '../../native/index.ts';
import { Batcher } from '../engine/batch.ts';
import type { Block, BlockOutcome, BlockSource, BlockStep, Step } from '../engine/block.ts';
import type { BlockSet } from '../engine/range-set.ts';
import { readAhead } from '../engine/read-ahead.ts';
import type { Run } from '../run/run.ts';

/** Runs of data and holes in memory. */
const MAX_EXTENTS_AHEAD = 65_536;

export class ImageBlocks implements BlockSource {
  readonly label: string;
  readonly waitsFor = 'disk';
  readonly #run: Run;
  readonly #image: ImageSource;
  readonly #geometry: Geometry;
  readonly #batcher: Batcher<BlockRead, SourceBlock>;
  readonly #putHoles: boolean;
  readonly #putZeros: boolean;
  #ended = false;

  /**
   * @param options.putHoles whether holes are read and put like data
   * @param options.putZeros whether the sink transfers ranges of zeros
   */
  constructor(
    run: Run,
    image: ImageSource,
    geometry: Geometry,
    options: { putHoles: boolean; putZeros: boolean },
  ) {
    this.#putHoles = options.putHoles;
    this.#putZeros = options.putZeros;
    this.#run = run;
    this.label = image.label;
    this.#image = image;
    this.#geometry = geometry;
    this.#batcher = new Batcher(run.workers, async (reads) => {
      if (run.signal.aborted) throw abortedError(run.signal);
      return image.readBlocks(reads);
    });
  }

  async *steps(done: BlockSet): AsyncGenerator<Step, void, undefined> {
    const { volumeSize, blockSize } = this.#geometry;
    const blockCount = volumeSize / blockSize;
    const zeros = function* (start: number, end: number): Generator<Step, void, undefined> {
      for (const [from, to] of done.missing(start, end)) yield { kind: 'zeros', start: from, end: to };
    };
    let next = 0;
    for await (const extent of this.#extents(done)) {
      const start = extent.offset / blockSize;
      next = Math.ceil((extent.offset + extent.length) / blockSize);
      if (extent.kind === 'hole' && !this.#putHoles) {
        yield* zeros(start, next);
        continue;
      }
      for (const [from, to] of done.missing(start, next)) {
        for (let index = from; index < to; index++) {
          if (this.#ended) {
            yield* zeros(index, blockCount);
            return;
          }
          yield { kind: 'block', index };
        }
      }
    }
    yield* zeros(next, blockCount);
  }

  /** The extents, read ahead to find how much is to be moved. A stream may end before its declared size, so it is unknown. */
  #extents(done: BlockSet): AsyncIterable<SourceExtent> {
    const { volumeSize, blockSize } = this.#geometry;
    const extents = this.#image.extents(blockSize);
    const { meter } = this.#run;
    if (this.#image.journal === undefined) return extents;
    const plan = (start: number, end: number) => {
      for (const [from, to] of done.missing(start, end)) meter.plan((to - from) * blockSize);
    };
    if (this.#putZeros) plan(0, volumeSize / blockSize);
    return readAhead(extents, {
      limit: MAX_EXTENTS_AHEAD,
      onItem: ({ offset, length, kind }) => {
        if ((kind === 'data' || this.#putHoles) && !this.#putZeros)
          plan(offset / blockSize, Math.ceil((offset + length) / blockSize));
      },
      onEnd: () => meter.planComplete(),
    });
  }

  async read(
    { index }: BlockStep,
    buffer: Uint8Array,
    use: (block: Block) => Promise<BlockOutcome>,
  ): Promise<BlockOutcome> {
    const offset = index * this.#geometry.blockSize;
    const { bytesRead, digest, zero, hole = false } = await this.#batcher.submit({ data: buffer, offset });
    // A stream may end before the size that was declared for it.
    if (bytesRead === 0) this.#ended = true;
    return use({
      index,
      data: buffer,
      digest,
      verified: true,
      zero,
      hole: bytesRead === 0 || (hole && !this.#putHoles),
    });
  }

  async finish(): Promise<void> {
    const warning = await this.#image.checkUnchanged();
    if (warning !== undefined) this.#run.warn(...warning);
  }
}
