/** The kinds of progress display, and the choice between them. */
import type { TransferEvent } from '../../transfer/events.ts';
import type { CommandIo } from '../io.ts';
import { printLine } from '../output.ts';
import { describeRetry, type TransferStatus } from './status.ts';
import type { Summary } from './summary.ts';

/** A display of one run. Everything that is printed on stderr during the run goes through it. */
export interface Renderer {
  /** Called for each event, after `status` has taken it in. */
  handle(event: TransferEvent): void;
  /** Prints a line that stays. */
  print(line: string): void;
  /** Prints how far it is, because somebody asked. */
  showStatus(): void;
  /** The run has succeeded. */
  done(summary: Summary): void;
  /** Takes the display away and stops its timers. Nothing but printLine is called afterwards. */
  close(): void;
}

/** Chooses by the global options and by what stderr is. The display of a terminal is loaded only when it is used. */
export async function createRenderer(io: CommandIo, status: TransferStatus): Promise<Renderer> {
  const { progress, verbosity, json } = io.settings;
  if (verbosity === 'quiet') return new SilentRenderer(io, status, true);
  const mode = progress !== 'auto' ? progress : json ? 'json' : isCapableTerminal(io) ? 'tty' : 'plain';
  switch (mode) {
    case 'json':
      return new (await import('./json.ts')).JsonRenderer(io, status);
    case 'tty':
      return (await import('./tty.ts')).openTtyRenderer(io, status);
    case 'plain':
      return new (await import('./plain.ts')).PlainRenderer(io, status);
    case 'none':
      return new SilentRenderer(io, status, false);
  }
}

function isCapableTerminal(io: CommandIo): boolean {
  // A terminal that does not know its size (a serial console, some containers) says 0; redrawing needs to know it.
  const { isTTY, rows = 24, columns = 80 } = io.stderr;
  return isTTY === true && rows > 0 && columns > 0 && io.env.TERM !== 'dumb';
}

/** What an event has to say that must not scroll out of a display, or undefined. */
export function announcement(event: TransferEvent, verbose: boolean): string | undefined {
  switch (event.type) {
    case 'snapshot':
      return `snapshot ${event.snapshotId} is begun`;
    case 'warning':
      return `warning: ${event.message}`;
    case 'retry':
      return verbose ? describeRetry(event) : undefined;
    default:
      return undefined;
  }
}

/** No display. Unless quiet, what has to be said is still said. */
class SilentRenderer implements Renderer {
  #io: CommandIo;
  #status: TransferStatus;
  #quiet: boolean;

  constructor(io: CommandIo, status: TransferStatus, quiet: boolean) {
    this.#io = io;
    this.#status = status;
    this.#quiet = quiet;
  }

  handle(event: TransferEvent): void {
    const text = announcement(event, this.#io.settings.verbosity === 'verbose');
    if (text !== undefined) this.print(text);
  }

  print(line: string): void {
    if (!this.#quiet) printLine(this.#io, line);
  }

  showStatus(): void {
    printLine(this.#io, `${this.#status.title}: ${this.#status.line}`);
  }

  done(summary: Summary): void {
    this.print(summary.line);
  }

  close(): void {}
}
