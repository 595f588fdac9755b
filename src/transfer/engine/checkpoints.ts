/** Saves how far a transfer is, every few seconds, one save at a time. */
import type { Run } from '../run/run.ts';
import type { BlockSink } from './block.ts';

export class Checkpoints {
  readonly #run: Run;
  readonly #sink: BlockSink;
  #timer: NodeJS.Timeout | undefined;
  #saving: Promise<void> | undefined;

  constructor(run: Run, sink: BlockSink) {
    this.#run = run;
    this.#sink = sink;
  }

  /** Begins to save at the run's interval. A failure stops the run. */
  start(): void {
    this.#timer = setInterval(() => {
      if (this.#saving !== undefined || this.#run.signal.aborted) return;
      this.#saving = this.save().finally(() => {
        this.#saving = undefined;
      });
    }, this.#run.checkpointIntervalMs);
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
    clearInterval(this.#timer);
    await this.#saving;
  }
}
