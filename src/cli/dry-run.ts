/** Prints what a transfer would do, instead of doing it. */
import type { DryRun } from '../transfer/reports.ts';
import type { TargetsDryRun } from '../transfer/several-targets.ts';
import type { CommandIo } from './io.ts';
import { dryRunDone } from './messages.ts';
import { printLine, printResult, toJson } from './output.ts';
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
  const text = io.settings.json ? `${toJson(planned)}\n` : describeDryRun(planned);
  // stdout as the target may be a disk, which is not to be changed.
  if (planned.operation === 'download' && 'path' in planned && planned.path === '-')
    for (const line of text.trimEnd().split('\n')) printLine(io, line);
  else await printResult(io, text);
}
