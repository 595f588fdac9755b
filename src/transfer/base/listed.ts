/** The list of a base, asked for in ascending order while another plan is made. */
import type { BlockReference } from '../../ebs/api.ts';
import { listBlocks } from '../../ebs/list/block-list.ts';
import type { CheckedPage } from '../../ebs/list/pages.ts';
import type { EbsConnection } from '../../ebs/service.ts';
import { readAhead } from '../engine/read-ahead.ts';
import type { Run } from '../run/run.ts';
import { warnings } from '../warnings.ts';

/** Pages in memory, each of 10,000 blocks with their tokens in about 1.5 MiB. */
const MAX_PAGES_AHEAD = 16;

export class ListedBlocks {
  readonly #run: Run;
  readonly #snapshotId: string;
  readonly #pages: AsyncGenerator<CheckedPage<BlockReference>, void, undefined>;
  #entries: readonly BlockReference[] = [];
  #at = 0;
  #ended = false;

  /** @param from block at which the list begins */
  constructor(run: Run, ebs: EbsConnection, snapshotId: string, from: number) {
    this.#run = run;
    this.#snapshotId = snapshotId;
    const pages = listBlocks(ebs.api, snapshotId, {
      from,
      signal: run.signal,
      onUnordered: () => run.warn(...warnings.listUnordered(snapshotId)),
    });
    this.#pages = readAhead(pages, { limit: MAX_PAGES_AHEAD, onItem: () => {}, onEnd: () => {} });
  }

  /** The first listed block at or after `index`; each call with a higher one. */
  async next(index: number): Promise<BlockReference | undefined> {
    for (;;) {
      for (; this.#at < this.#entries.length; this.#at++) {
        const entry = this.#entries[this.#at]!;
        if (entry.blockIndex >= index) return entry;
      }
      if (this.#ended) return undefined;
      const page = await this.#run.watch(`the list of ${this.#snapshotId}`, 'service', () =>
        this.#pages.next(),
      );
      this.#ended = page.done === true;
      this.#entries = page.value?.entries ?? [];
      this.#at = 0;
    }
  }

  async close(): Promise<void> {
    await this.#pages.return();
  }
}
