/**
 * Saves how far a transfer is, one save at a time: soon after the start, so that a run that lives for a second leaves
 * progress, then less and less often.
 */
import type { Run } from '../run/run.ts';
import type { BlockSink } from './block.ts';

/** Until the first save. */
const FIRST_INTERVAL_MS = 250;
/** Each interval is longer than the one before, so that a kill at any time loses at most a third of the time. */
const GROWTH = 1.5;

export class Checkpoints {
  readonly #run: Run;
  readonly #sink: BlockSink;
  #intervalMs: number;
  #timer: NodeJS.Timeout | undefined;
  #saving: Promise<void> | undefined;
  #ended = false;

  constructor(run: Run, sink: BlockSink) {
    this.#run = run;
    this.#sink = sink;
    this.#intervalMs = Math.min(FIRST_INTERVAL_MS, run.checkpointIntervalMs);
  }

  /** Begins to save at growing intervals, up to the run's. A failure stops the run. */
  start(): void {
    if (this.#ended || this.#run.signal.aborted) return;
    this.#timer = setTimeout(() => {
      if (this.#run.signal.aborted) return;
      this.#saving = this.save().finally(() => this.start());
    }, this.#intervalMs);
    this.#intervalMs = Math.min(this.#intervalMs * GROWTH, this.#run.checkpointIntervalMs);
  }

  async save(): Promise<void> {
    try {
      await this.#sink.checkpoint();
    } catch (failure) {
      this.#run.stop(failure);
    }
  }

  /** Ends the saving, and waits for a save in progress. */
  async end(): Promise<void> {
    this.#ended = true;
    clearTimeout(this.#timer);
    await this.#saving;
  }
}
