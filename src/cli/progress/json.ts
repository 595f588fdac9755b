/** Progress as one JSON object per line on stderr. Sizes in bytes. */
import type { TransferEvent } from '../../transfer/events.ts';
import type { CommandIo } from '../io.ts';
import { printJsonLine } from '../output.ts';
import type { Renderer } from './renderer.ts';
import type { TransferStatus } from './status.ts';
import type { Summary } from './summary.ts';

/** The shortest time between two progress objects. */
const progressEveryMs = 1000;

export class JsonRenderer implements Renderer {
  #io: CommandIo;
  #status: TransferStatus;
  #stopTimer: () => void;
  #progressAt = Number.NEGATIVE_INFINITY;

  constructor(io: CommandIo, status: TransferStatus) {
    this.#io = io;
    this.#status = status;
    // Report regularly even without progress, as a sign of life.
    this.#stopTimer = io.clock.every(10_000, () => this.#progress(10_000));
  }

  handle(event: TransferEvent): void {
    // Skip the library's `done` event: done() prints the result.
    if (event.type === 'progress') this.#progress(progressEveryMs);
    else if (event.type !== 'done' && event.type !== 'waiting') printJsonLine(this.#io, event);
  }

  #progress(atLeastSince: number): void {
    if (this.#io.clock.now() - this.#progressAt < atLeastSince) return;
    this.showStatus();
  }

  showStatus(): void {
    this.#progressAt = this.#io.clock.now();
    const { latest, etaSeconds, bytesPerSecond, activity } = this.#status;
    printJsonLine(this.#io, {
      ...latest,
      transferMs: latest && Math.round(latest.transferMs),
      elapsedMs: latest && Math.round(latest.elapsedMs),
      type: 'progress',
      bytesPerSecond: Math.round(bytesPerSecond),
      etaSeconds: etaSeconds === undefined ? undefined : Math.round(etaSeconds),
      activity,
    });
  }

  print(line: string): void {
    printJsonLine(this.#io, { type: 'message', message: line });
  }

  done(summary: Summary): void {
    printJsonLine(this.#io, summary.object);
  }

  close(): void {
    this.#stopTimer();
  }
}
