/** Says on stderr why a command has failed. */
import { ColdsnapError } from '../errors.ts';
import { exitCodeOf } from './exit-codes.ts';
import type { CommandIo } from './io.ts';
import { errorObject, renderError, stackLines } from './messages.ts';
import { printJsonLine, printLine } from './output.ts';

/** Exit codes after which the same command line may do the rest. */
const worthRunningAgain: ReadonlySet<number> = new Set([5, 129, 130, 143]);

type ReportIo = Pick<CommandIo, 'stdout' | 'stderr' | 'env' | 'settings'> & { runAgain: string | undefined };

/** Prints the error as `--json` or as sentences. Returns the exit code that goes with it. */
export function reportError(io: ReportIo, error: unknown): number {
  const exitCode = exitCodeOf(error);
  const { json, verbosity } = io.settings;
  // Whoever closed the pipe has had enough, and knows.
  if ((error as { code?: unknown } | null)?.code === 'EPIPE' && verbosity !== 'verbose') return exitCode;

  const runAgain = worthRunningAgain.has(exitCode) ? io.runAgain : undefined;
  // Where a wrong word or a signal was noticed in the program explains nothing.
  const explainsItself = error instanceof ColdsnapError && ['usage', 'aborted'].includes(error.class);
  if (verbosity === 'verbose' && !explainsItself) for (const line of stackLines(error)) printLine(io, line);
  if (json) {
    printJsonLine(io, errorObject(error, runAgain));
    return exitCode;
  }
  const { message, hint } = renderError(error);
  printLine(io, `coldsnap: ${message}`);
  if (hint !== undefined) printLine(io, `  ${hint}`);
  if (runAgain !== undefined) printLine(io, `  run it again: ${runAgain}`);
  return exitCode;
}
