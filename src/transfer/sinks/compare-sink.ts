/** Compares an image with the blocks that arrive, and writes nothing. */
import type { Geometry } from '../../geometry.ts';
import type { ImageSource } from '../../image/source.ts';
import type { Block, BlockOutcome, BlockSink, ZerosOutcome } from '../engine/block.ts';
import type { BlockSet } from '../engine/range-set.ts';
import type { Run } from '../run/run.ts';
import { type ComparedImage, comparedImage } from './compared-image.ts';
import { Differences } from './differences.ts';

/** Most bytes in one step of zeros: few enough that each shows as progress. */
const MAX_ZERO_BYTES = 2 ** 28;

interface CompareOptions {
  /** Blocks to skip. */
  readonly skipped: BlockSet;
  /** Whether ranges of zeros are skipped. */
  readonly skipZeros?: boolean;
}

export class CompareSink implements BlockSink {
  readonly label: string;
  readonly action = 'compared with';
  readonly waitsFor = 'disk';
  readonly done: BlockSet;
  readonly differences: Differences;
  /** Whether a range differs that should be zeros. */
  zerosDiffer = false;
  /** Whether the image is longer than the volume; known at the end. */
  imageIsLonger = false;
  bytesCompared = 0;
  readonly #source: ImageSource;
  readonly #image: ComparedImage;
  readonly #geometry: Geometry;
  readonly #skipZeros: boolean;

  constructor(run: Run, image: ImageSource, geometry: Geometry, options: CompareOptions) {
    this.label = image.label;
    this.#source = image;
    this.#geometry = geometry;
    this.done = options.skipped;
    this.#skipZeros = options.skipZeros ?? false;
    this.#image = comparedImage(run, image, geometry, this.done);
    this.differences = new Differences(geometry.blockSize);
  }

  get zerosPerStep(): number {
    return Math.max(1, Math.floor(MAX_ZERO_BYTES / this.#geometry.blockSize));
  }

  async admit(index: number): Promise<void> {
    this.differences.begin(index);
  }

  async write(block: Block): Promise<BlockOutcome> {
    const { index } = block;
    const { outcome, equal } = await this.#image.compare(block);
    if (outcome === 'mismatch') return outcome;
    if (!equal) this.differences.add(index, index + 1);
    this.bytesCompared += this.#geometry.blockSize;
    this.differences.done(index);
    return outcome;
  }

  async zeros(start: number, end: number): Promise<ZerosOutcome> {
    if (this.#skipZeros) await this.#image.skip(start, end);
    else await this.#compareZeros(start, end);
    this.differences.done(start);
    return { transferred: 0, skipped: end - start };
  }

  async #compareZeros(start: number, end: number): Promise<void> {
    await this.#image.findData(start, end, (from, to) => {
      this.zerosDiffer = true;
      this.differences.add(from, to);
    });
    this.bytesCompared += (end - start) * this.#geometry.blockSize;
  }

  keep(): number {
    return 0;
  }

  /** There is nothing to resume: it writes nothing. */
  async checkpoint(): Promise<void> {}

  async commit(): Promise<void> {
    this.imageIsLonger = await this.#image.finish();
    const isStream = this.#source.journal === undefined;
    // The rest of a longer stream is not read.
    if (!(isStream && this.imageIsLonger)) await this.#source.checkUnchanged();
    this.differences.finish();
  }
}
