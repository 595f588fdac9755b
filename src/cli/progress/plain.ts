/** Progress as lines for logs and pipes: at the start, every 10 s or 5 %, and at the end. */
import type { TransferEvent } from '../../transfer/events.ts';
import type { CommandIo } from '../io.ts';
import { printLine } from '../output.ts';
import { describeStart } from '../progress-messages.ts';
import { announcement, type Renderer } from './renderer.ts';
import type { TransferStatus } from './status.ts';
import type { Summary } from './summary.ts';

const lineEveryMs = 10_000;
const lineEveryPercent = 5;
/** A fast transfer passes 5 % several times a second. */
const leastGapMs = 1000;
/** Fewer lines without progress, but at least one a minute. */
const stalledLineEveryMs = 30_000;

export class PlainRenderer implements Renderer {
  #io: CommandIo;
  #status: TransferStatus;
  #stopTimer: () => void;
  #lineAt: number;
  #linePercent = 0;
  #lineBytes = 0;
  #stalled = false;

  constructor(io: CommandIo, status: TransferStatus) {
    this.#io = io;
    this.#status = status;
    this.#lineAt = io.clock.now();
    this.#stopTimer = io.clock.every(1000, () => this.#tick());
  }

  handle(event: TransferEvent): void {
    if (event.type === 'start') this.print(describeStart(event));
    const text = announcement(event, this.#io.settings.verbosity === 'verbose');
    if (text !== undefined) this.print(text);
    if (event.type === 'progress') this.#tick();
  }

  #tick(): void {
    const gap = this.#io.clock.now() - this.#lineAt;
    const moved = (this.#status.latest?.bytesDone ?? 0) !== this.#lineBytes;
    const step = (this.#status.percent ?? 0) - this.#linePercent;
    const due = moved
      ? gap >= lineEveryMs || (step >= lineEveryPercent && gap >= leastGapMs)
      : gap >= (this.#stalled ? stalledLineEveryMs : lineEveryMs);
    if (!due) return;
    this.#stalled = !moved;
    this.showStatus();
  }

  showStatus(): void {
    this.#linePercent = this.#status.percent ?? 0;
    this.#lineBytes = this.#status.latest?.bytesDone ?? 0;
    this.#lineAt = this.#io.clock.now();
    this.print(this.#status.line);
  }

  print(line: string): void {
    printLine(this.#io, line);
  }

  done(summary: Summary): void {
    this.print(summary.line);
  }

  close(): void {
    this.#stopTimer();
  }
}
