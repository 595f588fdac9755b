import type { Command } from 'commander';
import type { WaitConditions, WaitOptions } from '../../transfer/options.ts';
import { definedOnly } from '../global-options.ts';
import type { CommandIo } from '../io.ts';
import { printResult } from '../output.ts';
import { duration, nonEmpty, wholeNumber } from '../values.ts';
import { addExamples, type RunCommand } from './command.ts';

export interface WaitFlags {
  desiredStatus?: string;
  successesRequired?: number;
  maxAttempts?: number;
  secondsBetweenAttempts?: number;
  timeout?: number;
}

/** Adds the options of waiting; `upload --wait` has them too. */
export function addWaitOptions(command: Command): void {
  const count = wholeNumber(1, Number.MAX_SAFE_INTEGER);
  command
    .option('--desired-status <status>', 'status to wait for (default: completed)', nonEmpty)
    .option(
      '--successes-required <n>',
      'answers in a row that must show it (default: 3)',
      wholeNumber(0, Number.MAX_SAFE_INTEGER),
    )
    .option('--max-attempts <n>', 'answers without it after which to give up (default: no limit)', count)
    .option(
      '--seconds-between-attempts <n>',
      'pause between two questions (default: 2)',
      wholeNumber(0, 86_400),
    )
    .option('--timeout <time>', 'give up after so long, such as 90s or 30m', duration);
}

export function waitConditions(flags: WaitFlags): WaitConditions {
  const { desiredStatus, successesRequired, maxAttempts, secondsBetweenAttempts, timeout: timeoutMs } = flags;
  return definedOnly({ desiredStatus, successesRequired, maxAttempts, secondsBetweenAttempts, timeoutMs });
}

export function addWait(program: Command, perform: RunCommand): Command {
  const command = program
    .command('wait')
    .summary('wait until a snapshot is completed')
    .description('Wait until a snapshot is in the desired state and, when that is completed, can be read.')
    .argument('<snapshot>', 'ID of the snapshot');
  addWaitOptions(command);
  command.action((snapshotId: string, flags: WaitFlags) =>
    perform(command, (io) => runWait({ ...io.settings.service, ...waitConditions(flags), snapshotId }, io)),
  );
  return addExamples(command, [
    {
      explanation: 'Wait for at most half an hour',
      line: 'coldsnap wait --timeout 30m snap-0123456789abcdef0',
    },
  ]);
}

export async function runWait(options: WaitOptions, io: CommandIo): Promise<void> {
  const { waitSummary, withProgress } = await import('../progress/index.ts');
  const result = await withProgress(
    io,
    `waiting for ${options.snapshotId}`,
    async (hooks) => (await io.library()).waitForSnapshot({ ...options, ...hooks }),
    waitSummary,
  );
  if (io.settings.json) await printResult(io, `${JSON.stringify(result)}\n`);
}
