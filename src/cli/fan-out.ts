/** Downloads to several targets, and says of each whether it is whole. */
import { ColdsnapError } from '../errors.ts';
import type {
  DownloadToTargetsOptions,
  DownloadToTargetsResult,
  TargetOutcome,
} from '../transfer/several-targets.ts';
import { runDryRun } from './dry-run.ts';
import type { CommandIo } from './io.ts';
import { downloadTitle, targetNotWhole, targetWhole } from './messages.ts';
import { digestLine, printLine, printResult, toJson } from './output.ts';
import { printNextSteps } from './print-next-steps.ts';
import { targetsObject, targetsSummary, withProgress } from './progress/index.ts';
import { targetsTitle } from './progress-messages.ts';

/**
 * Nobody is asked whether a disk may be overwritten: the answer would hold for all targets.
 * @throws the error of the first target that failed, in the order given
 */
export async function runDownloadToTargets(
  options: DownloadToTargetsOptions,
  io: CommandIo,
  dryRun = false,
): Promise<void> {
  const title = downloadTitle(options.snapshotId, targetsTitle(options.targets));
  if (dryRun) {
    await runDryRun(io, title, async (hooks) =>
      (await io.library()).estimateDownloadToTargets({ ...options, ...hooks }),
    );
    return;
  }
  let began = false;
  let result: DownloadToTargetsResult | undefined;
  const { json, verbosity, progress } = io.settings;
  try {
    await withProgress(
      io,
      title,
      async ({ onEvent, ...hooks }) => {
        const follow: typeof onEvent = (event) => {
          if (event.type === 'start') began = true;
          onEvent(event);
        };
        const library = await io.library();
        result = await library.downloadToTargets({ ...options, ...hooks, onEvent: follow });
        const failed = result.targets.find(({ ok }) => !ok);
        // Not a success, although others are whole.
        if (failed !== undefined) throw failed.error;
        return result;
      },
      targetsSummary,
    );
  } catch (error) {
    if (began) await reportOutcomes(options, result, error, io);
    throw error;
  }
  if (result === undefined) return;
  if (json) {
    await printResult(io, `${toJson(targetsObject(result))}\n`);
    return;
  }
  await printDigests(result.targets, io);
  if (verbosity !== 'quiet' && progress !== 'json')
    await printNextSteps(options.targets[0]!, result.volumeSize, io);
}

async function printDigests(outcomes: readonly TargetOutcome[], io: CommandIo): Promise<void> {
  const lines = outcomes.flatMap(({ path, sha256 }) =>
    sha256 === undefined ? [] : [`${digestLine(path, sha256)}\n`],
  );
  if (lines.length > 0) await printResult(io, lines.join(''));
}

/**
 * Prints the outcome of each target, and has the command that is printed for a repeat name the failed ones alone.
 * @param result undefined where none is whole
 */
async function reportOutcomes(
  { targets }: DownloadToTargetsOptions,
  result: DownloadToTargetsResult | undefined,
  error: unknown,
  io: CommandIo,
): Promise<void> {
  const failed = error instanceof ColdsnapError ? error.targets : undefined;
  const outcomes: readonly TargetOutcome[] =
    result?.targets ??
    (failed ?? targets.map((path) => ({ path }))).map((target) => ({ ...target, ok: false }));
  io.runAgain = io.runAgainWithout(outcomes.filter(({ ok }) => ok).map(({ path }) => path));
  io.suggestsRepeat = (result ?? failed) !== undefined;
  if (!io.settings.json) {
    for (const { path, ok, error } of outcomes)
      printLine(io, ok ? targetWhole(path) : targetNotWhole(path, error));
    await printDigests(outcomes, io);
    return;
  }
  if (result !== undefined) await printResult(io, `${toJson(targetsObject(result))}\n`);
}
