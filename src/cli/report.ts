/** Prints the error of a failed command on stderr. */
import { ColdsnapError } from '../errors.ts';
import { exitCodeOf } from './exit-codes.ts';
import type { CommandIo } from './io.ts';
import { runAgain as runAgainSentence } from './messages.ts';
import { printJsonLine, printLine } from './output.ts';
import { errorObject, renderError, stackLines } from './render-error.ts';

/** Exit codes after which running the command again may succeed. */
const worthRunningAgain: ReadonlySet<number> = new Set([5, 129, 130, 143]);

type ReportIo = Pick<CommandIo, 'stdout' | 'stderr' | 'env' | 'settings' | 'suggestsRepeat'> & {
  runAgain: string | undefined;
};

/** Prints the error as text or, with `--json`, as an object. Returns the exit code. */
export function reportError(io: ReportIo, error: unknown): number {
  const exitCode = exitCodeOf(error);
  const { json, verbosity } = io.settings;
  // The reader closed the pipe on purpose.
  if (codeOf(error) === 'EPIPE' && verbosity !== 'verbose') return exitCode;

  const repeat = io.suggestsRepeat === true || worthRunningAgain.has(exitCode);
  const runAgain = repeat ? io.runAgain : undefined;
  // For a usage error or a signal the stack is of no help.
  const explainsItself = error instanceof ColdsnapError && ['usage', 'aborted'].includes(error.class);
  const stack = verbosity === 'verbose' && !explainsItself ? stackLines(error) : undefined;
  if (json) {
    // Every line is an object, also with --verbose.
    printJsonLine(io, { ...errorObject(error, runAgain), stack });
    return exitCode;
  }
  for (const line of stack ?? []) printLine(io, line);
  const { message, where, hint } = renderError(error);
  // The only message of several lines: one for each file that was tried.
  const lines = codeOf(error) === 'ADDON_NOT_LOADED' ? message.split('\n') : [message];
  for (const line of [`coldsnap: ${lines[0]}`, ...lines.slice(1)]) printLine(io, line);
  if (where !== undefined) printLine(io, `  ${where}`);
  if (hint !== undefined) printLine(io, `  ${hint}`);
  if (runAgain !== undefined) printLine(io, `  ${runAgainSentence(runAgain)}`);
  return exitCode;
}

function codeOf(error: unknown): unknown {
  return (error as { code?: unknown } | null)?.code;
}
