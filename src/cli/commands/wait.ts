import type { Command } from 'commander';
import type { WaitConditions, WaitOptions } from '../../transfer/options.ts';
import { type FlagNames, optionWords, shellQuote } from '../command-line.ts';
import { definedOnly, serviceWords } from '../global-options.ts';
import type { CommandIo, ServiceSettings } from '../io.ts';
import { optionRequires, waitTitle } from '../messages.ts';
import { printResult, toJson } from '../output.ts';
import { waitObject, waitSummary, withProgress } from '../progress/index.ts';
import { duration, nonEmpty, wholeNumber } from '../values.ts';
import { addExamples, type RunCommand } from './command.ts';

export interface WaitFlags {
  desiredStatus?: string;
  successesRequired?: number;
  maxAttempts?: number;
  secondsBetweenAttempts?: number;
  timeout?: number;
}

const conditionFlags: FlagNames<WaitConditions> = {
  desiredStatus: ['--desired-status'],
  successesRequired: ['--successes-required'],
  maxAttempts: ['--max-attempts'],
  secondsBetweenAttempts: ['--seconds-between-attempts'],
  timeoutMs: ['--timeout', 'ms'],
};

/** Adds the options of waiting, which `upload --wait` shares. */
export function addWaitOptions(command: Command): void {
  const count = wholeNumber(1, Number.MAX_SAFE_INTEGER);
  command
    .option('--desired-status <status>', 'status to wait for (default: completed)', nonEmpty)
    .option(
      '--successes-required <n>',
      'consecutive polls that must report it (default: 3)',
      wholeNumber(0, Number.MAX_SAFE_INTEGER),
    )
    .option('--max-attempts <n>', 'give up after this many polls without it (default: no limit)', count)
    .option('--seconds-between-attempts <n>', 'pause between polls (default: 2)', wholeNumber(0, 86_400))
    .option(
      '--timeout <time>',
      'give up after this time, such as 90s or 1h30m (default: no limit)',
      duration,
    );
}

function waitConditions(flags: WaitFlags): WaitConditions {
  const { desiredStatus, successesRequired, maxAttempts, secondsBetweenAttempts, timeout: timeoutMs } = flags;
  return definedOnly({ desiredStatus, successesRequired, maxAttempts, secondsBetweenAttempts, timeoutMs });
}

/**
 * The library's option for `--wait` of a command that makes a snapshot.
 * @throws ColdsnapError class `usage` for conditions without it
 */
export function waitOption(flags: WaitFlags & { wait?: boolean }): { wait?: WaitConditions } {
  const conditions = waitConditions(flags);
  if (flags.wait) return { wait: conditions };
  if (Object.keys(conditions).length > 0) throw optionRequires('an option of waiting', '--wait');
  return {};
}

/** The command line that waits for a snapshot with these conditions. */
export function waitCommandLine(
  snapshotId: string,
  conditions: WaitConditions,
  service: ServiceSettings,
): string {
  const words = [...serviceWords(service), ...optionWords(conditions, conditionFlags)];
  return ['coldsnap', 'wait', ...words, snapshotId].map(shellQuote).join(' ');
}

export function addWait(program: Command, runCommand: RunCommand): Command {
  const command = program
    .command('wait')
    .summary('wait until a snapshot is completed')
    .description('Wait until a snapshot is in the desired state and, if that is completed, can be read.')
    .argument('<snapshot>', 'ID of the snapshot');
  addWaitOptions(command);
  command.action((snapshotId: string, flags: WaitFlags) =>
    runCommand(command, (io) =>
      runWait({ ...io.settings.service, ...waitConditions(flags), snapshotId }, io),
    ),
  );
  return addExamples(command, [
    {
      explanation: 'Wait for at most half an hour',
      line: 'coldsnap wait --timeout 30m snap-0123456789abcdef0',
    },
  ]);
}

async function runWait(options: WaitOptions, io: CommandIo): Promise<void> {
  const result = await withProgress(
    io,
    waitTitle(options.snapshotId),
    async (hooks) => (await io.library()).waitForSnapshot({ ...options, ...hooks }),
    waitSummary,
  );
  if (io.settings.json) await printResult(io, `${toJson(waitObject(result))}\n`);
}
