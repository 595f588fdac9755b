/** The difference between two snapshots as a source: what has changed since the base is read, what is gone becomes zeros. */
import type { BlockReference, ChangedBlock } from '../../ebs/api.ts';
import { listBlocks, listChangedBlocks } from '../../ebs/list/block-list.ts';
import type { CheckedPage } from '../../ebs/list/pages.ts';
import type { EbsConnection } from '../../ebs/service.ts';
import type { Geometry } from '../../geometry.ts';
import type { BlockSource, Step } from '../engine/block.ts';
import { type BlockRange, type BlockSet, RangeSet } from '../engine/range-set.ts';
import { readAhead } from '../engine/read-ahead.ts';
import { baseHasOtherBlocks, noList } from '../messages.ts';
import type { Run } from '../run/run.ts';
import { FirstBlock } from './first-block.ts';
import { SnapshotRanges } from './snapshot-ranges.ts';

/** Pages of the list in memory, each of 10,000 blocks. */
const MAX_PAGES_AHEAD = 16;
/** Steps of the plan among which a block to read first is looked for: about a page. */
const MAX_STEPS_TO_FIRST = 20_000;

type Pages = AsyncGenerator<CheckedPage<ChangedBlock>, void, undefined>;

export class ChangedBlocks implements BlockSource {
  readonly label = 'the service';
  readonly waitsFor = 'service';
  /** The snapshot's. */
  readonly geometry: Geometry;
  /** The base's. */
  readonly baseGeometry: Geometry;
  readonly #run: Run;
  readonly #ebs: EbsConnection;
  readonly #baseId: string;
  readonly #snapshotId: string;
  readonly #blocks: FirstBlock;
  readonly read: BlockSource['read'];
  /** Ranges of blocks that are read whether or not they have changed. */
  #always: readonly BlockRange[] = [];

  private constructor(
    run: Run,
    ebs: EbsConnection,
    ids: { readonly baseId: string; readonly snapshotId: string },
    baseGeometry: Geometry,
    geometry: Geometry,
  ) {
    this.#run = run;
    this.#ebs = ebs;
    this.#baseId = ids.baseId;
    this.#snapshotId = ids.snapshotId;
    this.baseGeometry = baseGeometry;
    this.geometry = geometry;
    this.#blocks = new FirstBlock(run, ebs, ids.snapshotId);
    this.read = this.#blocks.read;
  }

  /**
   * Lists a page of each, which shows that both snapshots exist, how large their volumes are, and that they are related.
   * @throws ColdsnapError code `UNRELATED_SNAPSHOTS`
   */
  static async open(
    run: Run,
    ebs: EbsConnection,
    ids: { readonly baseId: string; readonly snapshotId: string },
  ): Promise<ChangedBlocks> {
    const { baseId, snapshotId } = ids;
    const baseGeometry = await geometryOf(run, ebs, baseId);
    const geometry = await geometryOf(run, ebs, snapshotId);
    if (baseGeometry.blockSize !== geometry.blockSize) throw baseHasOtherBlocks(baseId, snapshotId);
    const source = new ChangedBlocks(run, ebs, ids, baseGeometry, geometry);
    if (baseId !== snapshotId) {
      const pages = source.#pages(0, 0);
      await run.watch(`the changes of ${snapshotId}`, 'service', () => pages.next());
      await pages.return();
    }
    return source;
  }

  /** @param ranges ascending, disjoint */
  alwaysRead(ranges: readonly BlockRange[]): void {
    this.#always = ranges;
  }

  /** Reads the first block that is not done, before the sink is changed. It is not fetched again. */
  async readFirst(done: BlockSet): Promise<void> {
    let steps = 0;
    for await (const step of this.#steps(done, () => {})) {
      if (step.kind === 'block') return this.#blocks.fetch(step, this.geometry.blockSize);
      if (++steps === MAX_STEPS_TO_FIRST) return;
    }
  }

  async *steps(done: BlockSet): AsyncGenerator<Step, void, undefined> {
    const { meter } = this.#run;
    yield* this.#steps(done, (blocks) => meter.plan(blocks * this.geometry.blockSize));
    meter.planComplete();
  }

  /** The ranges that are the same in both. */
  async *kept(): AsyncGenerator<BlockRange, void, undefined> {
    for await (const step of this.#steps(new RangeSet(), () => {}))
      if (step.kind === 'keep') yield [step.start, step.end];
  }

  async *#steps(done: BlockSet, plan: (blocks: number) => void): AsyncGenerator<Step, void, undefined> {
    const { blockSize, volumeSize } = this.geometry;
    const end = volumeSize / blockSize;
    const common = Math.min(end, this.baseGeometry.volumeSize / blockSize);
    let next = 0;
    // A list of changes need not name what lies beyond the volume of the base.
    for (const [from, to] of new RangeSet([...this.#always, [common, end]]).ranges()) {
      yield* this.#changed(next, from, done, plan);
      yield* this.#listed(from, to, done, plan);
      next = to;
    }
    yield* this.#changed(next, end, done, plan);
  }

  async *#listed(
    start: number,
    end: number,
    done: BlockSet,
    plan: (blocks: number) => void,
  ): AsyncGenerator<Step, void, undefined> {
    const ranges = new SnapshotRanges(this.#run, this.#ebs, this.#snapshotId, [[start, end]]);
    for await (const step of ranges.steps(done)) {
      if (step.kind === 'block') plan(1);
      yield step;
    }
  }

  async *#changed(
    start: number,
    end: number,
    done: BlockSet,
    plan: (blocks: number) => void,
  ): AsyncGenerator<Step, void, undefined> {
    if (start >= end) return;
    const pages = readAhead(this.#pages(start, end), {
      limit: MAX_PAGES_AHEAD,
      onItem: ({ entries }) =>
        plan(
          entries.filter((entry) => entry.secondBlockToken !== undefined && !done.has(entry.blockIndex))
            .length,
        ),
      onEnd: () => {},
    });
    let next = start;
    for (let page = await this.#nextPage(pages); page !== undefined; page = await this.#nextPage(pages)) {
      for (const { blockIndex: index, secondBlockToken: token } of page.entries) {
        if (index > next) yield { kind: 'keep', start: next, end: index };
        next = index + 1;
        if (done.has(index)) continue;
        if (token === undefined) yield { kind: 'zeros', start: index, end: next };
        else yield { kind: 'block', index, token };
      }
    }
    if (end > next) yield { kind: 'keep', start: next, end };
  }

  async #nextPage(pages: Pages): Promise<CheckedPage<ChangedBlock> | undefined> {
    const what = `the changes of ${this.#snapshotId}`;
    const page = await this.#run.watch(what, 'service', () => pages.next());
    return page.done ? undefined : page.value;
  }

  #pages(from: number, below: number): Pages {
    const larger = Math.max(this.geometry.volumeSize, this.baseGeometry.volumeSize);
    return listChangedBlocks(this.#ebs.api, this.#baseId, this.#snapshotId, {
      from,
      below,
      blockCount: larger / this.geometry.blockSize,
      signal: this.#run.signal,
    });
  }

  /** A snapshot does not change. */
  async finish(): Promise<void> {}
}

/** Lists a page, which shows that the snapshot exists, and its sizes. */
export async function geometryOf(run: Run, ebs: EbsConnection, snapshotId: string): Promise<Geometry> {
  const { volumeSize, blockSize } = await firstPage(run, ebs, snapshotId, 0);
  return { volumeSize, blockSize };
}

/** One page of a list. @param below the block before which it ends at the latest; 0 for the sizes alone */
export async function firstPage(
  run: Run,
  { api }: EbsConnection,
  snapshotId: string,
  below: number,
): Promise<CheckedPage<BlockReference>> {
  const pages = listBlocks(api, snapshotId, { below, signal: run.signal });
  const page = await run.watch(`the list of ${snapshotId}`, 'service', () => pages.next());
  await pages.return();
  if (page.done) throw noList(snapshotId);
  return page.value;
}
