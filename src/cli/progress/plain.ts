/** Progress as lines, for logs and pipes: at the start, every 10 s or 5 %, and at the end. */
import type { TransferEvent } from '../../transfer/events.ts';
import type { CommandIo } from '../io.ts';
import { sourceLabel, targetLabel } from '../labels.ts';
import { printLine } from '../output.ts';
import { formatBytes } from './format.ts';
import { announcement, type Renderer } from './renderer.ts';
import type { TransferStatus } from './status.ts';
import type { Summary } from './summary.ts';

const lineEveryMs = 10_000;
const lineEveryPercent = 5;
/** A fast transfer passes 5 % many times a second; so often nobody wants to read it. */
const leastGapMs = 1000;
/** While nothing moves there is less to tell, but never a minute of silence. */
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
    const step = this.#status.percent - this.#linePercent;
    const due = moved
      ? gap >= lineEveryMs || (step >= lineEveryPercent && gap >= leastGapMs)
      : gap >= (this.#stalled ? stalledLineEveryMs : lineEveryMs);
    if (!due) return;
    this.#stalled = !moved;
    this.showStatus();
  }

  showStatus(): void {
    this.#linePercent = this.#status.percent;
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

/** `downloading snap-1 to disk.img: 8.0 GiB in blocks of 512.0 KiB, 1.0 GiB of it done by an earlier run`. */
export function describeStart(event: Extract<TransferEvent, { type: 'start' }>): string {
  const { operation, snapshotId, path, volumeSize, blockSize, bytesResumed } = event;
  const what =
    operation === 'download'
      ? `downloading ${snapshotId ?? 'a snapshot'} to ${targetLabel(path)}`
      : `uploading ${sourceLabel(path)} to ${snapshotId ?? 'a new snapshot'}`;
  const resumed = bytesResumed > 0 ? `, ${formatBytes(bytesResumed)} of it done by an earlier run` : '';
  return `${what}: ${formatBytes(volumeSize)} in blocks of ${formatBytes(blockSize)}${resumed}`;
}
