/** A target that is read back: what differs is read from the source, and written, once more. */
import { targetNotReadBack } from '../../image/messages/targets.ts';
import type { ImageTarget, ResumableTarget } from '../../image/target.ts';
import { VerifiedTarget } from '../../image/verified-target.ts';
import { allocateSlab } from '../../native/index.ts';
import type { BlockSource } from '../engine/block.ts';
import type { Run } from './run.ts';

/** Often enough for a display, rare enough to cost nothing. */
const INTERVAL_MS = 200;

/** The progress of reading back several targets, as one. */
export class ReadBackProgress {
  readonly #run: Run;
  readonly #amounts = new Map<object, { readonly bytesDone: number; readonly bytesTotal: number }>();
  #reportedAt = Number.NEGATIVE_INFINITY;

  constructor(run: Run) {
    this.#run = run;
  }

  /**
   * While blocks still arrive, their progress is the one to show.
   * @param of the target
   */
  report(of: object, bytesDone: number, bytesTotal: number): void {
    this.#amounts.set(of, { bytesDone, bytesTotal });
    const { meter } = this.#run;
    if (meter.bytesDone < meter.bytesTotal) return;
    const all = { bytesDone: 0, bytesTotal: 0 };
    for (const amount of this.#amounts.values()) {
      all.bytesDone += amount.bytesDone;
      all.bytesTotal += amount.bytesTotal;
    }
    const complete = all.bytesDone === all.bytesTotal;
    if (!complete && performance.now() - this.#reportedAt < INTERVAL_MS) return;
    this.#reportedAt = performance.now();
    this.#run.phase('reading-back', all);
    if (complete) this.#run.phase('committing');
  }
}

export class ReadBack {
  readonly target: VerifiedTarget;
  readonly #inner: ImageTarget;
  #source: { readonly blocks: Pick<BlockSource, 'read'>; readonly blockSize: number } | undefined;

  constructor(target: ImageTarget, resumable: ResumableTarget, progress: ReadBackProgress) {
    this.#inner = target;
    this.target = new VerifiedTarget(target, resumable, {
      rewrite: (offset) => this.#rewrite(offset),
      onRead: (bytesDone, bytesTotal) => progress.report(this, bytesDone, bytesTotal),
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
}

/**
 * The facet of a target that can be read again; a stream is abandoned.
 * @throws ColdsnapError class `usage` for a stream
 */
export async function readableAgain(target: ImageTarget): Promise<ResumableTarget> {
  if (target.resumable !== undefined) return target.resumable;
  await target.abandon({ keepForResume: false });
  throw targetNotReadBack(target);
}
