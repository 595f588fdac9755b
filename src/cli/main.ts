/** The process: its arguments, its streams, its exit code. */
import { version } from '../version.ts';
import type { Io } from './io.ts';
import { processIo } from './process-io.ts';

/** Runs this process's command line, and returns the exit code. Tests hand in another `io`. */
export async function main(io: Io = processIo()): Promise<number> {
  const argv = process.argv.slice(2);
  // Should nothing be left to wait for before the run has ended, the process must not end as if it had succeeded.
  process.exitCode = 1;
  // Who writes is told of a closed pipe by its callback; without a listener the process would die of it.
  process.stdout.on('error', () => {});
  process.stderr.on('error', () => {});
  // Warnings of Node and of the SDK (deprecations, support periods) are for developers.
  if (!argv.includes('--verbose')) process.removeAllListeners('warning');
  process.on('uncaughtException', (error) => {
    void failUnexpectedly(argv, io, error).then((exitCode) => process.exit(exitCode));
  });

  // Asked by scripts and packages, often many times: answered without loading anything.
  if (argv.length === 1 && argv[0] === '--version') {
    process.stdout.write(`${version}\n`);
    return 0;
  }
  const { run } = await import('./run.ts');
  return run(argv, io);
}

/** Reports an error that was thrown where nobody waits for it. Never rejects. */
async function failUnexpectedly(argv: readonly string[], io: Io, error: unknown): Promise<number> {
  try {
    const [{ guessSettings }, { reportError }] = await Promise.all([
      import('./run.ts'),
      import('./report.ts'),
    ]);
    return reportError({ ...io, settings: guessSettings(argv), runAgain: undefined }, error);
  } catch {
    process.stderr.write(`coldsnap: internal error: ${error instanceof Error ? error.name : typeof error}\n`);
    return 1;
  }
}
