/**
 * Saves how far a transfer is, one save at a time: soon after the start, so that a run that lives for a second leaves
 * progress, then less and less often.
 */
import type { Run } from '../run/run.ts';
import type { BlockSink } from './block.ts';

/** Until the first save. */
const FIRST_INTERVAL_MS = 250;
/** Each interval is longer than the one before: a kill at any time loses a fifth of the time since the start. */
const GROWTH = 1.25;

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
  start(passedMs = 0): void {
    if (this.#ended || this.#run.signal.aborted) return;
    this.#timer = setTimeout(
      () => {
        if (this.#run.signal.aborted) return;
        const started = performance.now();
        // Counted from the start of a save: what is written while a slow disk syncs waits for the next.
        this.#saving = this.save().finally(() => this.start(performance.now() - started));
      },
      Math.max(0, this.#intervalMs - passedMs),
    );
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
