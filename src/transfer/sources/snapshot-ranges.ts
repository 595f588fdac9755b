/** Some ranges of a snapshot as a source: each is listed by itself, and what its list does not name reads as zeros. */
import type { BlockReader } from '../../ebs/block-reader.ts';
import { listBlocks } from '../../ebs/list/block-list.ts';
import type { EbsConnection } from '../../ebs/service.ts';
import type { Block, BlockOutcome, BlockSource, BlockStep, Step } from '../engine/block.ts';
import { type BlockRange, type BlockSet, RangeSet } from '../engine/range-set.ts';
import { type ListedPage, listedBlocks } from '../engine/steps.ts';
import type { Run } from '../run/run.ts';
import { readBlock } from './read-block.ts';

export class SnapshotRanges implements BlockSource {
  readonly label = 'the service';
  readonly waitsFor = 'service';
  readonly #run: Run;
  readonly #ebs: EbsConnection;
  readonly #snapshotId: string;
  readonly #ranges: AsyncIterable<BlockRange> | Iterable<BlockRange>;
  readonly #reader: BlockReader;

  /** @param ranges ascending */
  constructor(
    run: Run,
    ebs: EbsConnection,
    snapshotId: string,
    ranges: AsyncIterable<BlockRange> | Iterable<BlockRange>,
  ) {
    this.#run = run;
    this.#ebs = ebs;
    this.#snapshotId = snapshotId;
    this.#ranges = ranges;
    this.#reader = ebs.reader(snapshotId, run.signal);
  }

  async *steps(done: BlockSet = new RangeSet()): AsyncGenerator<Step, void, undefined> {
    for await (const [start, end] of this.#ranges)
      yield* listedBlocks(this.#pages(start, end), () => end, done, start);
  }

  #pages(from: number, below: number): AsyncIterable<ListedPage> {
    return listBlocks(this.#ebs.api, this.#snapshotId, { from, below, signal: this.#run.signal });
  }

  read(
    step: BlockStep,
    buffer: Uint8Array,
    use: (block: Block) => Promise<BlockOutcome>,
  ): Promise<BlockOutcome> {
    return readBlock(this.#reader, step, buffer, use);
  }

  /** A snapshot does not change. */
  async finish(): Promise<void> {}
}
