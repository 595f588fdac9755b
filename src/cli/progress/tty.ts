/** Progress on a terminal: lines on stderr that listr2 redraws in place. */
import { styleText } from 'node:util';
import {
  DefaultRenderer,
  type ListrDefaultRendererOptions,
  ListrEventManager,
  ListrLogger,
  ProcessOutput,
  Spinner,
} from 'listr2';
import stringWidth from 'string-width';
import { escapeControls } from '../../text.ts';
import type { TransferEvent } from '../../transfer/events.ts';
import type { Clock, CommandIo } from '../io.ts';
import { printLine } from '../output.ts';
import { redact } from '../redact.ts';
import { showsUnicode, toAscii } from '../terminal.ts';
import { announcement, type Renderer } from './renderer.ts';
import type { TransferStatus } from './status.ts';
import type { Summary } from './summary.ts';

const redrawEveryMs = 200;
const barWidth = 40;

/** The lines of the display: at most six, each shorter than `columns`. */
function displayLines(
  status: TransferStatus,
  options: { columns: number; spinner: string; color: boolean; unicode: boolean },
): string[] {
  const { latest, troubles, activity } = status;
  const width = Math.max(options.columns - 1, 10);
  const cut = (text: string, limit = width) =>
    options.unicode
      ? cutToWidth(escapeControls(text), limit, '…')
      : cutToWidth(toAscii(escapeControls(text)), limit, '...');
  const paint = (color: 'cyan' | 'yellow', text: string) =>
    options.color ? styleText(color, text, { validateStream: false }) : text;

  const lines = [`${paint('cyan', options.spinner)} ${cut(status.title, width - 2)}`];
  if (latest) {
    const cells = Math.min(barWidth, width - 10);
    const { percent } = status;
    if (cells >= 10 && percent !== undefined && status.showsBar) {
      const full = Math.floor((cells * percent) / 100);
      lines.push(`  [${'='.repeat(full)}${' '.repeat(cells - full)}] ${percent} %`);
    }
    const { amounts } = status;
    if (amounts !== undefined) lines.push(cut(`  ${amounts}`));
  }
  if (troubles !== undefined) lines.push(paint('yellow', cut(`  ${troubles}`)));
  if (activity !== undefined) lines.push(cut(`  ${activity}`));
  return lines;
}

/** Cuts text to the columns of a terminal: some characters take two. */
function cutToWidth(text: string, columns: number, ellipsis: string): string {
  if (stringWidth(text) <= columns) return text;
  let kept = '';
  let free = columns - ellipsis.length;
  for (const character of text) {
    free -= stringWidth(character);
    if (free < 0) break;
    kept += character;
  }
  return kept + ellipsis;
}

/** A spinner whose timer does not keep the process alive. */
class ClockSpinner extends Spinner {
  #clock: Clock;
  readonly #unicode: boolean;
  #turns = 0;
  #stop: (() => void) | undefined;

  constructor(clock: Clock, unicode: boolean) {
    super();
    this.#clock = clock;
    this.#unicode = unicode;
  }

  override spin(): void {
    super.spin();
    this.#turns++;
  }

  override fetch(): string {
    return this.#unicode ? super.fetch() : '-\\|/'.charAt(this.#turns % 4);
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

/** Draws our lines on stderr with listr2's display. */
class StderrDisplay extends DefaultRenderer {
  // listr2 checks whether stdout is a terminal; here it may be a pipe.
  static override nonTTY = true;
  #lines: () => string;

  constructor(stream: NodeJS.WriteStream, spinner: Spinner, lines: () => string) {
    const processOutput = new ProcessOutput(stream, stream, { dump: ['stderr'], leaveEmptyLine: false });
    const options: DisplayOptions = {
      clearOutput: true,
      spinner,
      logger: new ListrLogger({ processOutput }),
    };
    super([], options, new ListrEventManager());
    this.#lines = lines;
  }

  override create(): string {
    return this.#lines();
  }
}

/** listr2 reads `logger`, but its type lacks it. */
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

  /** Draws the display below the last line printed. */
  async open(): Promise<void> {
    const { stderr, clock, settings, env } = this.#io;
    const unicode = showsUnicode(env);
    const spinner = new ClockSpinner(clock, unicode);
    const lines = () => {
      const { columns } = stderr;
      const options = { columns: columns || 80, spinner: spinner.fetch(), color: settings.color, unicode };
      return redact(displayLines(this.#status, options).join('\n'), env);
    };
    const display = new StderrDisplay(stderr as unknown as NodeJS.WriteStream, spinner, lines);
    this.#display = display;
    this.#state = 'opening';
    // Loads modules, then holds back other writes to stderr until it ends.
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
    // Lines are still printed if the display cannot be drawn again.
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
