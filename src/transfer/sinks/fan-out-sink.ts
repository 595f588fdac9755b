/**
 * Several targets as one sink. Each block is checked once and written to each target that lacks it. A target that fails is
 * dropped; the others continue. A worker's buffer is free only when the slowest target has written it, so that one holds
 * back the others.
 */
import { abortedError } from '../../cancel.ts';
import { ColdsnapError } from '../../errors.ts';
import type { Block, BlockOutcome, BlockSink, ZerosOutcome } from '../engine/block.ts';
import { BlockCheck } from '../engine/block-check.ts';
import { type BlockSet, intersection } from '../engine/range-set.ts';
import type { Run } from '../run/run.ts';
import { warnings } from '../warnings.ts';

/** One of the targets. */
export interface FanOutTarget<Sink extends BlockSink> {
  readonly sink: Sink;
  /** Why it was dropped. */
  failure?: ColdsnapError;
  /** Whether it was committed. */
  whole: boolean;
}

export class FanOutSink<Sink extends BlockSink> implements BlockSink {
  readonly waitsFor = 'disk';
  /** A block that some target lacks is transferred. */
  readonly done: BlockSet;
  readonly #run: Run;
  readonly #targets: readonly FanOutTarget<Sink>[];
  readonly #check: BlockCheck;

  constructor(run: Run, targets: readonly FanOutTarget<Sink>[]) {
    this.#run = run;
    this.#targets = targets;
    this.done = intersection(() => this.#live.map(({ sink }) => sink.done));
    this.#check = new BlockCheck(run);
  }

  get #live(): FanOutTarget<Sink>[] {
    return this.#targets.filter(({ failure }) => failure === undefined);
  }

  get label(): string {
    return this.#live.map(({ sink }) => sink.label).join(', ');
  }

  get zerosPerStep(): number {
    return Math.min(...this.#live.map(({ sink }) => sink.zerosPerStep));
  }

  /**
   * Does the same for each of the targets, and drops those for which it fails.
   * @throws the first failure when no target remains; any failure that is not a target's own
   */
  async each(
    work: (sink: Sink, target: FanOutTarget<Sink>) => Promise<unknown>,
    targets = this.#live,
  ): Promise<void> {
    // Settled, because what is in flight may use the block's buffer.
    const results = await Promise.allSettled(targets.map((target) => work(target.sink, target)));
    for (const [at, result] of results.entries())
      if (result.status === 'rejected') this.#drop(targets[at]!, result.reason);
    if (this.#live.length === 0) throw this.#targets[0]?.failure;
  }

  #drop(target: FanOutTarget<Sink>, error: unknown): void {
    if (this.#run.signal.aborted) throw abortedError(this.#run.signal);
    if (!(error instanceof ColdsnapError)) throw error;
    if (target.failure !== undefined) return;
    target.failure = error;
    this.#run.warn(...warnings.targetDropped(target.sink.label, error, this.#live.length));
  }

  async admit(index: number): Promise<void> {
    await this.each((sink) => sink.admit(index));
  }

  async write(block: Block): Promise<BlockOutcome> {
    const outcome = await this.#check.check(block);
    if (outcome === 'mismatch') return outcome;
    const verified = { ...block, verified: true };
    const lacking = this.#live.filter(({ sink }) => !sink.done.has(block.index));
    await this.each((sink) => sink.write(verified), lacking);
    return outcome;
  }

  async zeros(start: number, end: number): Promise<ZerosOutcome> {
    await this.each(async (sink) => {
      for (const [from, to] of [...sink.done.missing(start, end)]) await sink.zeros(from, to);
    });
    return { transferred: 0, skipped: end - start };
  }

  keep(start: number, end: number): number {
    for (const { sink } of this.#live) sink.keep(start, end);
    return end - start;
  }

  checkpoint(): Promise<void> {
    return this.each((sink) => sink.checkpoint());
  }

  async commit(onWhole?: () => Promise<void>): Promise<void> {
    await this.each(async (sink, target) => {
      await sink.commit();
      target.whole = true;
    });
    await onWhole?.();
  }
}
