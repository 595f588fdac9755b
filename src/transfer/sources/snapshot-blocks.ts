/** A snapshot as a source: what its list names is read from the service, the rest reads as zeros. */
import type { BlockReference } from '../../ebs/api.ts';
import { listBlocks } from '../../ebs/list/block-list.ts';
import type { CheckedPage } from '../../ebs/list/pages.ts';
import type { EbsConnection } from '../../ebs/service.ts';
import type { Geometry } from '../../geometry.ts';
import type { BlockSource, Step } from '../engine/block.ts';
import type { BlockSet } from '../engine/range-set.ts';
import { readAhead } from '../engine/read-ahead.ts';
import { listedBlocks } from '../engine/steps.ts';
import { noList } from '../messages.ts';
import type { Run } from '../run/run.ts';
import { warnings } from '../warnings.ts';
import { FirstBlock } from './first-block.ts';

/** Pages of the list in memory, each of 10,000 blocks with their tokens in about 1.5 MiB. */
const MAX_PAGES_AHEAD = 16;

type Pages = AsyncGenerator<CheckedPage<BlockReference>, void, undefined>;

export class SnapshotBlocks implements BlockSource {
  readonly label = 'the service';
  readonly waitsFor = 'service';
  readonly geometry: Geometry;
  readonly #run: Run;
  readonly #snapshotId: string;
  readonly #blocks: FirstBlock;
  readonly read: BlockSource['read'];
  readonly #pages: Pages;
  readonly #first: CheckedPage<BlockReference>;
  #transfersAll = false;

  private constructor(
    run: Run,
    snapshotId: string,
    blocks: FirstBlock,
    pages: Pages,
    first: CheckedPage<BlockReference>,
  ) {
    this.#run = run;
    this.#snapshotId = snapshotId;
    this.#blocks = blocks;
    this.read = blocks.read;
    this.#pages = pages;
    this.#first = first;
    this.geometry = { volumeSize: first.volumeSize, blockSize: first.blockSize };
  }

  /**
   * Lists the first page, which shows that the snapshot exists and how large its volume is.
   * @throws ColdsnapError when it cannot be listed
   */
  static async open(run: Run, ebs: EbsConnection, snapshotId: string): Promise<SnapshotBlocks> {
    const pages = listBlocks(ebs.api, snapshotId, {
      signal: run.signal,
      onUnordered: () => run.warn(...warnings.listUnordered(snapshotId)),
    });
    const first = await nextPage(run, snapshotId, pages);
    if (first === undefined) throw noList(snapshotId);
    return new SnapshotBlocks(run, snapshotId, new FirstBlock(run, ebs, snapshotId), pages, first);
  }

  /** Reads the first block that is not done, before the sink is changed. It is not fetched again. */
  async readFirst(done: BlockSet): Promise<void> {
    const entry = this.#first.entries.find(({ blockIndex }) => !done.has(blockIndex));
    if (entry === undefined) return;
    const { blockIndex: index, blockToken: token } = entry;
    await this.#blocks.fetch({ kind: 'block', index, token }, this.geometry.blockSize);
  }

  /** Plans the transfer of blocks that are not listed, too. */
  transferAll(): void {
    this.#transfersAll = true;
  }

  steps(done: BlockSet): AsyncGenerator<Step, void, undefined> {
    const { volumeSize, blockSize } = this.geometry;
    if (this.#transfersAll) {
      const { meter } = this.#run;
      for (const [start, end] of done.missing(0, volumeSize / blockSize))
        meter.plan((end - start) * blockSize);
      meter.planComplete();
    }
    return listedBlocks(this.#watched(done), () => volumeSize / blockSize, done);
  }

  /** The pages, read ahead to find how much is to be moved. */
  async *#watched(done: BlockSet): Pages {
    const { meter } = this.#run;
    const plan = ({ entries, blockSize }: CheckedPage<BlockReference>) => {
      if (this.#transfersAll) return;
      meter.plan(entries.filter(({ blockIndex }) => !done.has(blockIndex)).length * blockSize);
    };
    plan(this.#first);
    const pages = readAhead(this.#pages, {
      limit: MAX_PAGES_AHEAD,
      onItem: plan,
      onEnd: () => meter.planComplete(),
    });
    let page: CheckedPage<BlockReference> | undefined = this.#first;
    while (page !== undefined) {
      yield page;
      page = await nextPage(this.#run, this.#snapshotId, pages);
    }
  }

  /** A snapshot does not change. */
  async finish(): Promise<void> {}
}

async function nextPage(
  run: Run,
  snapshotId: string,
  pages: Pages,
): Promise<CheckedPage<BlockReference> | undefined> {
  const page = await run.watch(`the list of ${snapshotId}`, 'service', () => pages.next());
  return page.done ? undefined : page.value;
}
