/** Prints what a transfer would do, instead of doing it. */
import type { DryRun } from '../transfer/reports.ts';
import type { TargetsDryRun } from '../transfer/several-targets.ts';
import type { CommandIo } from './io.ts';
import { dryRunDone } from './messages.ts';
import { printJsonLine, printLine, printResult, toJson } from './output.ts';
import { withProgress } from './progress/index.ts';
import type { Hooks } from './progress/with-progress.ts';
import { describeDryRun } from './report-text.ts';

/** @param estimate calls the library with the hooks */
export async function runDryRun(
  io: CommandIo,
  title: string,
  estimate: (hooks: Hooks) => Promise<DryRun | TargetsDryRun>,
): Promise<void> {
  const planned = await withProgress(io, title, estimate, (result) => ({
    line: dryRunDone,
    object: { type: 'done', ...result },
  }));
  const { json, verbosity, progress } = io.settings;
  // stdout as the target may be a disk, which is not to be changed.
  const onStderr = planned.operation === 'download' && 'path' in planned && planned.path === '-';
  if (!onStderr) await printResult(io, json ? `${toJson(planned)}\n` : describeDryRun(planned));
  else if (!json) for (const line of describeDryRun(planned).trimEnd().split('\n')) printLine(io, line);
  else if (verbosity === 'quiet' || progress === 'plain' || progress === 'tty')
    // Elsewhere the last event is the plan.
    printJsonLine(io, { type: 'done', ...planned });
}
