/** A file, block device or stream as a source: its data are read and hashed, its holes read as zeros. */
import { abortedError } from '../../cancel.ts';
import type { Geometry } from '../../geometry.ts';
import type { ImageSource, SourceBlock } from '../../image/source.ts';
import type { BlockRead } from '../../native/index.ts';
import { Batcher } from '../engine/batch.ts';
import type { Block, BlockOutcome, BlockSource, BlockStep, Step } from '../engine/block.ts';
import type { RangeSet } from '../engine/range-set.ts';
import type { Run } from '../run/run.ts';

export class ImageBlocks implements BlockSource {
  readonly label: string;
  readonly waitsFor = 'disk';
  readonly #run: Run;
  readonly #image: ImageSource;
  readonly #geometry: Geometry;
  readonly #batcher: Batcher<BlockRead, SourceBlock>;
  readonly #putHoles: boolean;
  #ended = false;

  /** @param options.putHoles whether holes are read and put like data */
  constructor(run: Run, image: ImageSource, geometry: Geometry, options: { putHoles: boolean }) {
    this.#putHoles = options.putHoles;
    this.#run = run;
    this.label = image.label;
    this.#image = image;
    this.#geometry = geometry;
    this.#batcher = new Batcher(run.workers, async (reads) => {
      if (run.signal.aborted) throw abortedError(run.signal);
      return image.readBlocks(reads);
    });
  }

  async *steps(done: RangeSet): AsyncGenerator<Step, void, undefined> {
    const { volumeSize, blockSize } = this.#geometry;
    const blockCount = volumeSize / blockSize;
    const zeros = function* (start: number, end: number): Generator<Step, void, undefined> {
      for (const [from, to] of done.missing(start, end)) yield { kind: 'zeros', start: from, end: to };
    };
    let next = 0;
    for await (const extent of this.#image.extents(blockSize)) {
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
