/** Chooses a progress display. */
import type { TransferEvent } from '../../transfer/events.ts';
import type { CommandIo } from '../io.ts';
import { printLine } from '../output.ts';
import { describeRetry, snapshotCreated, snapshotResumed, warning } from '../progress-messages.ts';
import { JsonRenderer } from './json.ts';
import { PlainRenderer } from './plain.ts';
import type { TransferStatus } from './status.ts';
import type { Summary } from './summary.ts';

/** The display of one run. Everything printed on stderr during the run goes through it. */
export interface Renderer {
  /** Called for each event, after the status was updated. */
  handle(event: TransferEvent): void;
  /** Prints a permanent line. */
  print(line: string): void;
  /** Prints the status now. */
  showStatus(): void;
  /** Called when the run succeeded. */
  done(summary: Summary): void;
  /** Removes the display and stops its timers. Only printLine is called afterwards. */
  close(): void;
  /** Draws again after close(). Only displays that redraw, which would write over a question, have it. */
  open?(): Promise<void>;
}

/** Chooses by the global options and the kind of stderr. Loads the terminal's only where it is used. */
export async function createRenderer(io: CommandIo, status: TransferStatus): Promise<Renderer> {
  const { progress, verbosity, json } = io.settings;
  if (json && (verbosity === 'quiet' || progress === 'none')) {
    return new JsonRenderer(io, status, verbosity === 'quiet' ? 'none' : 'events');
  }
  if (verbosity === 'quiet') return new SilentRenderer(io, status, true);
  const mode = progress !== 'auto' ? progress : json ? 'json' : isCapableTerminal(io) ? 'tty' : 'plain';
  switch (mode) {
    case 'json':
      return new JsonRenderer(io, status, 'all');
    case 'tty':
      return (await import('./tty.ts')).openTtyRenderer(io, status);
    case 'plain':
      return new PlainRenderer(io, status);
    case 'none':
      return new SilentRenderer(io, status, false);
  }
}

function isCapableTerminal(io: CommandIo): boolean {
  // Serial consoles and some containers report a size of 0; redrawing needs the real one.
  const { isTTY, rows = 24, columns = 80 } = io.stderr;
  const { TERM, CI = '' } = io.env;
  // The log of a CI job may be a terminal, but is read only afterwards.
  const inCi = !['', '0', 'false'].includes(CI.toLowerCase());
  return isTTY === true && rows > 0 && columns > 0 && TERM !== 'dumb' && !inCi;
}

/** The permanent line for an event, if it has one. */
export function announcement(event: TransferEvent, verbose: boolean): string | undefined {
  switch (event.type) {
    case 'snapshot':
      return event.resumed ? snapshotResumed(event.snapshotId) : snapshotCreated(event.snapshotId);
    case 'warning':
      return warning(event.message);
    case 'retry':
      return verbose ? describeRetry(event) : undefined;
    default:
      return undefined;
  }
}

/** No display. Unless quiet, prints permanent lines. */
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
