/** Error output and exit codes of both commands. */
import { UsageError } from './options.ts';
import { Interrupted, say } from './workbench.ts';

/** Runs `main` and sets the process's exit code: main's own, 1 for a failure, 2 for bad usage, 130 or 143 for a signal. */
export async function runCommand(usage: string, main: () => Promise<number>): Promise<void> {
  try {
    process.exitCode = await main();
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const misused = error instanceof UsageError;
    say(`bench: ${message}${misused ? `\n\n${usage}` : ''}`);
    process.exitCode = misused ? 2 : error instanceof Interrupted ? error.exitCode : 1;
  }
}
