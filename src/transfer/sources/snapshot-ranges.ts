/** Some ranges of a snapshot as a source: what their lists do not name reads as zeros. */
import { listBlocks } from '../../ebs/list/block-list.ts';
import { StartedList } from '../../ebs/list/parallel.ts';
import type { EbsConnection } from '../../ebs/service.ts';
import type { BlockSource, Step } from '../engine/block.ts';
import { type BlockRange, type BlockSet, outside, RangeSet } from '../engine/range-set.ts';
import { type ListedPage, listedBlocks } from '../engine/steps.ts';
import type { Run } from '../run/run.ts';
import { readFrom } from './read-block.ts';

/** Blocks between two ranges that are listed with them: reading their entries costs less than another request. */
const MAX_BETWEEN = 1_000;
/** Blocks from the first to the last range of one list: at most one page. */
const MAX_SPAN = 10_000;
/** Lists that are requested at once. The service allows 50 requests a second per account, each of about 100 ms. */
const MAX_LISTS = 4;

type Ranges = AsyncIterable<BlockRange> | Iterable<BlockRange>;

/** Ranges that one list covers. */
interface Listed {
  readonly ranges: readonly BlockRange[];
  readonly start: number;
  readonly end: number;
  readonly pages: StartedList<ListedPage>;
}

export class SnapshotRanges implements BlockSource {
  readonly label = 'the service';
  readonly waitsFor = 'service';
  readonly #run: Run;
  readonly #ebs: EbsConnection;
  readonly #snapshotId: string;
  readonly #ranges: Ranges;
  readonly read: BlockSource['read'];

  /** @param ranges ascending */
  constructor(run: Run, ebs: EbsConnection, snapshotId: string, ranges: Ranges) {
    this.#run = run;
    this.#ebs = ebs;
    this.#snapshotId = snapshotId;
    this.#ranges = ranges;
    this.read = readFrom(ebs.reader(snapshotId, run.signal));
  }

  async *steps(done: BlockSet = new RangeSet()): AsyncGenerator<Step, void, undefined> {
    const ahead: Listed[] = [];
    try {
      for await (const ranges of neighbors(this.#ranges)) {
        ahead.push(this.#list(ranges));
        if (ahead.length === MAX_LISTS) yield* plan(ahead.shift() as Listed, done);
      }
      for (let next = ahead.shift(); next !== undefined; next = ahead.shift()) yield* plan(next, done);
    } finally {
      await Promise.all(ahead.map(({ pages }) => pages.close()));
    }
  }

  #list(ranges: readonly BlockRange[]): Listed {
    const start = (ranges[0] as BlockRange)[0];
    const end = (ranges.at(-1) as BlockRange)[1];
    const range = { from: start, below: end, signal: this.#run.signal };
    return { ranges, start, end, pages: new StartedList(listBlocks(this.#ebs.api, this.#snapshotId, range)) };
  }

  /** A snapshot does not change. */
  async finish(): Promise<void> {}
}

/** The ranges, in groups whose list is one. */
async function* neighbors(ranges: Ranges): AsyncGenerator<readonly BlockRange[], void, undefined> {
  let group: BlockRange[] = [];
  for await (const range of ranges) {
    const [first, last] = [group[0], group.at(-1)];
    const joins =
      first !== undefined &&
      last !== undefined &&
      range[0] - last[1] <= MAX_BETWEEN &&
      range[1] - first[0] <= MAX_SPAN;
    if (!joins && group.length > 0) {
      yield group;
      group = [];
    }
    group.push(range);
  }
  if (group.length > 0) yield group;
}

function plan({ ranges, start, end, pages }: Listed, done: BlockSet): AsyncGenerator<Step, void, undefined> {
  return listedBlocks(pages, () => end, outside(new RangeSet(ranges), done), start);
}
