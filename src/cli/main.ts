/** The entry point: arguments, streams and exit code of the process. */
import { version } from '../version.ts';
import type { Io } from './io.ts';
import { processIo } from './process-io.ts';

/** Runs the command line of this process and returns the exit code. Tests pass another `io`. */
export async function main(io: Io = processIo()): Promise<number> {
  const argv = process.argv.slice(2);
  // If the event loop runs dry before the command ends, the process must not exit with 0.
  process.exitCode = 1;
  // Writers learn of a closed pipe from their callback; without a listener the process would crash.
  io.stdout.on('error', () => {});
  io.stderr.on('error', () => {});
  // Warnings from Node and the SDK, such as deprecations, are for developers.
  const words = new Set(argv);
  if (words.has('--json') || !(words.has('--verbose') || words.has('-v')))
    process.removeAllListeners('warning');
  process.on('uncaughtException', (error) => {
    void fail(argv, io, error).then((exitCode) => process.exit(exitCode));
  });

  // Scripts call this often: answer without loading anything.
  if (argv.length === 1 && (argv[0] === '--version' || argv[0] === '-V')) {
    const error = await new Promise<Error | null | undefined>((resolve) => {
      io.stdout.write(`${version}\n`, resolve);
    });
    return error ? fail(argv, io, Object.assign(error, { path: 'stdout' })) : 0;
  }
  const { run } = await import('./run.ts');
  return run(argv, io);
}

/** Reports an error that no command caught. Never rejects. */
async function fail(argv: readonly string[], io: Io, error: unknown): Promise<number> {
  try {
    const { guessSettings, reportError } = await import('./run.ts');
    return reportError({ ...io, settings: guessSettings(argv), runAgain: undefined }, error);
  } catch {
    process.stderr.write(`coldsnap: internal error: ${error instanceof Error ? error.name : typeof error}\n`);
    return 1;
  }
}
