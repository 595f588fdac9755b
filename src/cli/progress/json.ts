/** Progress as one JSON object per line on stderr. Sizes in bytes. */
import type { TransferEvent, TransferProgress } from '../../transfer/events.ts';
import type { CommandIo } from '../io.ts';
import { printJsonLine } from '../output.ts';
import type { Renderer } from './renderer.ts';
import type { TransferStatus } from './status.ts';
import type { Summary } from './summary.ts';

/** `events`: all but progress; `none`: only the status when it is asked for. */
export type ShownEvents = 'all' | 'events' | 'none';

/** The shortest time between two progress objects. */
const progressEveryMs = 1000;

export class JsonRenderer implements Renderer {
  #io: CommandIo;
  #status: TransferStatus;
  readonly #shown: ShownEvents;
  #stopTimer: () => void;
  /** The progress last printed. */
  #printed: TransferProgress | undefined;
  #progressAt = Number.NEGATIVE_INFINITY;

  constructor(io: CommandIo, status: TransferStatus, shown: ShownEvents) {
    this.#io = io;
    this.#status = status;
    this.#shown = shown;
    // Report regularly even without progress, as a sign of life.
    this.#stopTimer = shown === 'all' ? io.clock.every(10_000, () => this.#progress(10_000)) : () => {};
  }

  handle(event: TransferEvent): void {
    if (this.#shown === 'none') return;
    // The last progress before a phase shows that all bytes are moved.
    if (event.type === 'phase' && this.#printed !== this.#status.latest) this.#progress(0);
    // Skip the library's `done` event: done() prints the result.
    if (event.type === 'progress') this.#progress(progressEveryMs);
    else if (event.type !== 'done' && event.type !== 'waiting') printJsonLine(this.#io, event);
  }

  #progress(atLeastSince: number): void {
    if (this.#shown !== 'all' || this.#io.clock.now() - this.#progressAt < atLeastSince) return;
    this.showStatus();
  }

  showStatus(): void {
    this.#progressAt = this.#io.clock.now();
    const { latest, etaSeconds, bytesPerSecond, activity } = this.#status;
    this.#printed = latest;
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
    if (this.#shown !== 'none') printJsonLine(this.#io, { type: 'message', message: line });
  }

  done(summary: Summary): void {
    if (this.#shown !== 'none') printJsonLine(this.#io, summary.object);
  }

  close(): void {
    this.#stopTimer();
  }
}
