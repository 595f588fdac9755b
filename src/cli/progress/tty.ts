/** Progress on a terminal: a few lines that are redrawn in place, with listr2, on stderr. */
import { styleText } from 'node:util';
import {
  DefaultRenderer,
  type ListrDefaultRendererOptions,
  ListrEventManager,
  ListrLogger,
  ProcessOutput,
  Spinner,
} from 'listr2';
import type { TransferEvent } from '../../transfer/events.ts';
import type { Clock, CommandIo } from '../io.ts';
import { printLine } from '../output.ts';
import { redact } from '../redact.ts';
import { announcement, type Renderer } from './renderer.ts';
import type { TransferStatus } from './status.ts';
import type { Summary } from './summary.ts';

/** Five times a second looks alive and costs nothing to speak of. */
const redrawEveryMs = 200;
const barWidth = 40;

/** The lines of the display: at most six, each at most `columns` wide, the last column left free. */
export function displayLines(
  status: TransferStatus,
  options: { columns: number; spinner: string; color: boolean },
): string[] {
  const { latest, troubles, activity } = status;
  const width = Math.max(options.columns - 1, 10);
  const cut = (text: string, room = width) => (text.length > room ? `${text.slice(0, room - 1)}…` : text);
  const paint = (color: 'cyan' | 'yellow', text: string) =>
    options.color ? styleText(color, text, { validateStream: false }) : text;

  const lines = [`${paint('cyan', options.spinner)} ${cut(status.title, width - 2)}`];
  if (latest) {
    const cells = Math.min(barWidth, width - 9);
    const full = Math.floor((cells * status.percent) / 100);
    if (cells >= 10) lines.push(`  [${'='.repeat(full)}${' '.repeat(cells - full)}] ${status.percent} %`);
    lines.push(cut(`  ${status.amounts}`));
  }
  if (troubles !== undefined) lines.push(paint('yellow', cut(`  ${troubles}`)));
  if (activity !== undefined) lines.push(cut(`  ${activity}`));
  return lines;
}

/** A spinner on our clock, which leaves the process free to end. */
class ClockSpinner extends Spinner {
  #clock: Clock;
  #stop: (() => void) | undefined;

  constructor(clock: Clock) {
    super();
    this.#clock = clock;
  }

  override isRunning(): boolean {
    return this.#stop !== undefined;
  }

  override start(callback?: () => void): void {
    this.stop();
    this.#stop = this.#clock.every(redrawEveryMs, () => {
      this.spin();
      callback?.();
    });
  }

  override stop(): void {
    this.#stop?.();
    this.#stop = undefined;
  }
}

/** listr2's display, drawing our lines on stderr. */
class StderrDisplay extends DefaultRenderer {
  // listr2 looks at stdout to decide whether there is a terminal. stdout may well be a pipe here.
  static override nonTTY = true;
  #lines: () => string;

  constructor(stream: NodeJS.WriteStream, spinner: Spinner, lines: () => string) {
    const processOutput = new ProcessOutput(stream, stream, { dump: ['stderr'], leaveEmptyLine: false });
    const options: DisplayOptions = {
      clearOutput: true,
      spinner,
      logger: new ListrLogger({ processOutput }),
    };
    // No task list: whether the run has succeeded is not the display's to say.
    super([], options, new ListrEventManager());
    this.#lines = lines;
  }

  override create(): string {
    return this.#lines();
  }
}

/** `logger` is read, but missing in listr2's type. */
type DisplayOptions = ListrDefaultRendererOptions & { logger: ListrLogger };

class TtyRenderer implements Renderer {
  #io: CommandIo;
  #status: TransferStatus;
  #state: 'opening' | 'drawing' | 'closed' = 'closed';
  #display: StderrDisplay | undefined;

  constructor(io: CommandIo, status: TransferStatus) {
    this.#io = io;
    this.#status = status;
  }

  /** Draws the display below whatever was printed last. */
  async open(): Promise<void> {
    const { stderr, clock, settings, env } = this.#io;
    const spinner = new ClockSpinner(clock);
    const lines = () => {
      const options = { columns: stderr.columns || 80, spinner: spinner.fetch(), color: settings.color };
      return redact(displayLines(this.#status, options).join('\n'), env);
    };
    const display = new StderrDisplay(stderr as unknown as NodeJS.WriteStream, spinner, lines);
    this.#display = display;
    this.#state = 'opening';
    // It loads what it needs, and then keeps back what others write on stderr until it ends.
    await display.render();
    if (this.#display !== display) display.end();
    else this.#state = 'drawing';
  }

  handle(event: TransferEvent): void {
    const text = announcement(event, this.#io.settings.verbosity === 'verbose');
    if (text !== undefined) this.print(text);
  }

  print(line: string): void {
    const wasDrawing = this.#state === 'drawing';
    if (wasDrawing) this.close();
    printLine(this.#io, line);
    // A display that cannot be drawn again is no reason to fail; what is printed still is.
    if (wasDrawing) this.open().catch(() => {});
  }

  showStatus(): void {
    this.print(`${this.#status.title}: ${this.#status.line}`);
  }

  done(summary: Summary): void {
    this.close();
    printLine(this.#io, summary.line);
  }

  close(): void {
    if (this.#state === 'drawing') this.#display?.end();
    this.#display = undefined;
    this.#state = 'closed';
  }
}

export async function openTtyRenderer(io: CommandIo, status: TransferStatus): Promise<Renderer> {
  const renderer = new TtyRenderer(io, status);
  await renderer.open();
  return renderer;
}
