/** Some ranges of a snapshot as a source: each is listed by itself, and what its list does not name reads as zeros. */
import { listBlocks } from '../../ebs/list/block-list.ts';
import type { EbsConnection } from '../../ebs/service.ts';
import type { BlockSource, Step } from '../engine/block.ts';
import { type BlockRange, type BlockSet, RangeSet } from '../engine/range-set.ts';
import { type ListedPage, listedBlocks } from '../engine/steps.ts';
import type { Run } from '../run/run.ts';
import { readFrom } from './read-block.ts';

export class SnapshotRanges implements BlockSource {
  readonly label = 'the service';
  readonly waitsFor = 'service';
  readonly #run: Run;
  readonly #ebs: EbsConnection;
  readonly #snapshotId: string;
  readonly #ranges: AsyncIterable<BlockRange> | Iterable<BlockRange>;
  readonly read: BlockSource['read'];

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
    this.read = readFrom(ebs.reader(snapshotId, run.signal));
  }

  async *steps(done: BlockSet = new RangeSet()): AsyncGenerator<Step, void, undefined> {
    for await (const [start, end] of this.#ranges)
      yield* listedBlocks(this.#pages(start, end), () => end, done, start);
  }

  #pages(from: number, below: number): AsyncIterable<ListedPage> {
    return listBlocks(this.#ebs.api, this.#snapshotId, { from, below, signal: this.#run.signal });
  }

  /** A snapshot does not change. */
  async finish(): Promise<void> {}
}
