/** A target that is read back: what differs is read from the source, and written, once more. */
import type { ImageTarget, ResumableTarget } from '../../image/target.ts';
import { VerifiedTarget } from '../../image/verified-target.ts';
import { allocateSlab } from '../../native/index.ts';
import type { BlockSource } from '../engine/block.ts';
import type { Run } from './run.ts';

/** Often enough for a display, rare enough to cost nothing. */
const INTERVAL_MS = 200;

export class ReadBack {
  readonly target: VerifiedTarget;
  readonly #run: Run;
  readonly #inner: ImageTarget;
  #source: { readonly blocks: Pick<BlockSource, 'read'>; readonly blockSize: number } | undefined;
  #reportedAt = Number.NEGATIVE_INFINITY;

  constructor(run: Run, target: ImageTarget, resumable: ResumableTarget) {
    this.#run = run;
    this.#inner = target;
    this.target = new VerifiedTarget(target, resumable, {
      rewrite: (offset) => this.#rewrite(offset),
      onRead: (bytesDone, bytesTotal) => this.#report(bytesDone, bytesTotal),
    });
  }

  /** Names where damaged blocks are read again. */
  from(blocks: Pick<BlockSource, 'read'>, blockSize: number): void {
    this.#source = { blocks, blockSize };
  }

  async #rewrite(offset: number): Promise<void> {
    if (this.#source === undefined) throw new Error('a block was written before its source was known');
    const { blocks, blockSize } = this.#source;
    const buffer = new Uint8Array(allocateSlab(blockSize));
    await blocks.read({ kind: 'block', index: offset / blockSize }, buffer, async ({ data, digest }) => {
      const [outcome] = await this.#inner.writeBlocks([{ data, offset, digest }]);
      return outcome === 'mismatch' ? outcome : 'written';
    });
  }

  /** While blocks still arrive, their progress is the one to show. */
  #report(bytesDone: number, bytesTotal: number): void {
    const { meter } = this.#run;
    if (meter.bytesDone < meter.bytesTotal) return;
    const complete = bytesDone === bytesTotal;
    if (!complete && performance.now() - this.#reportedAt < INTERVAL_MS) return;
    this.#reportedAt = performance.now();
    this.#run.phase('reading-back', { bytesDone, bytesTotal });
    if (complete) this.#run.phase('committing');
  }
}
