import { type Command, Option } from 'commander';
import { ColdsnapError } from '../../errors.ts';
import { sanitize } from '../../text.ts';
import type { DownloadOptions } from '../../transfer/options.ts';
import { runDryRun } from '../dry-run.ts';
import { definedOnly } from '../global-options.ts';
import type { CommandIo, Settings } from '../io.ts';
import {
  argumentsSwapped,
  downloadTitle,
  optionRequires,
  optionsExclude,
  overwriteQuestion,
} from '../messages.ts';
import { printLine, printResult } from '../output.ts';
import { nonEmpty } from '../values.ts';
import { addExamples, type RunCommand } from './command.ts';
import {
  addCheckpointOptions,
  addDigestOption,
  addDryRunOption,
  addPaceOptions,
  type TransferFlags,
  transferOptions,
} from './transfer-options.ts';

interface DownloadFlags extends TransferFlags {
  force?: boolean;
  dryRun?: boolean;
  verify?: boolean;
  sha256?: boolean;
  since?: string;
  trustBase?: boolean;
  verifyBase?: boolean;
}

export function addDownload(program: Command, runCommand: RunCommand): Command {
  const command = program
    .command('download')
    .summary('download a snapshot to a file or block device')
    .description(
      'Download a snapshot to a file or block device. After exit code 0 the target equals the snapshot and is on ' +
        'stable storage; blocks that the snapshot does not have read as zeros.',
    )
    .argument('<snapshot>', 'ID of the snapshot')
    .argument('<target>', 'file or block device to write, or - for stdout')
    .option('-f, --force', 'overwrite an existing file, or a device that is not blank (never one in use)')
    .option('--verify', 'read everything back past the page cache, and fail if it differs; not to a pipe')
    .option('--sha256', 'read the finished image once, and print its SHA-256; not to a pipe');
  command
    .option(
      '--since <base>',
      'the target holds this snapshot: fetch only what has changed since, in place, after comparing a sample',
      nonEmpty,
    )
    .option('--trust-base', 'with --since: do not compare the target with the base')
    .addOption(
      new Option('--verify-base', 'with --since: compare all of the target with the base').conflicts(
        'trustBase',
      ),
    );
  addDigestOption(command);
  addPaceOptions(command);
  addCheckpointOptions(command);
  addDryRunOption(command);
  command.action((snapshotId: string, target: string, flags: DownloadFlags) =>
    runCommand(command, async (io) => {
      const options = downloadOptions(snapshotId, target, flags, io.settings);
      if (flags.dryRun !== true) return runDownload(options, io);
      return runDryRun(io, downloadTitle(snapshotId, target), async (hooks) =>
        (await io.library()).estimateDownload({ ...options, ...hooks }),
      );
    }),
  );
  return addExamples(command, [
    {
      explanation: 'Restore a snapshot onto a blank disk',
      line: 'sudo coldsnap download snap-0123456789abcdef0 /dev/nvme1n1',
    },
    {
      explanation: 'See what that would overwrite, and what it costs',
      line: 'sudo coldsnap download --dry-run --force snap-0123456789abcdef0 /dev/nvme1n1',
    },
    {
      explanation: 'Bring a disk that holds one snapshot to the next',
      line: 'sudo coldsnap download --since snap-0123456789abcdef0 snap-0fedcba9876543210 /dev/nvme1n1',
    },
    { explanation: 'Download to a file', line: 'coldsnap download snap-0123456789abcdef0 disk.img' },
    {
      explanation: 'Compress the image',
      line: 'coldsnap download snap-0123456789abcdef0 - | zstd -o disk.img.zst',
    },
  ]);
}

function downloadOptions(
  snapshotId: string,
  target: string,
  flags: DownloadFlags,
  settings: Settings,
): DownloadOptions & { target: string } {
  if (!snapshotId.startsWith('snap-') && target.startsWith('snap-')) {
    throw argumentsSwapped('download', target, snapshotId);
  }
  const { force, verify, sha256, since, trustBase, verifyBase, saveDigests } = flags;
  if (since !== undefined && saveDigests !== undefined) throw optionsExclude('--since', '--save-digests');
  if (since === undefined && (trustBase || verifyBase))
    throw optionRequires(trustBase ? '--trust-base' : '--verify-base', '--since');
  return {
    ...settings.service,
    ...transferOptions(flags),
    ...definedOnly({ force, verify, sha256, since, trustBase, verifyBase }),
    snapshotId,
    target,
  };
}

/** Downloads; on a terminal it asks before it overwrites a disk that is not blank. */
export async function runDownload(
  options: DownloadOptions & { target: string },
  io: CommandIo,
): Promise<void> {
  try {
    await transfer(options, io);
  } catch (error) {
    if (!(await mayOverwrite(error, io))) throw error;
    await transfer({ ...options, force: true }, io);
  }
}

async function mayOverwrite(error: unknown, io: CommandIo): Promise<boolean> {
  if (!(error instanceof ColdsnapError) || error.code !== 'TARGET_NOT_BLANK') return false;
  if (io.ask === undefined || io.settings.json) return false;
  const answer = await io.ask(overwriteQuestion(sanitize(error.message, 2_000)));
  return /^y(es)?$/i.test(answer.trim());
}

async function transfer(options: DownloadOptions & { target: string }, io: CommandIo): Promise<void> {
  const toStdout = options.target === '-';
  const { resultObject, transferSummary, withProgress } = await import('../progress/index.ts');
  const result = await withProgress(
    io,
    downloadTitle(options.snapshotId, options.target),
    async (hooks) => (await io.library()).downloadSnapshot({ ...options, ...hooks }),
    (downloaded) => transferSummary('download', options.target, downloaded),
  );
  if (toStdout) return;
  if (io.settings.json) {
    await printResult(io, `${JSON.stringify(resultObject('download', options.target, result))}\n`);
  } else if (io.settings.verbosity !== 'quiet' && io.settings.progress !== 'json') {
    await printNextSteps(options.target, result.volumeSize, io);
  }
}

/** Prints which partitions the restored image has, and the commands that follow. */
async function printNextSteps(target: string, volumeSize: number, io: CommandIo): Promise<void> {
  const [{ describePartitions, describeSteps }, { stepsAfterDownload }] = await Promise.all([
    import('../report-text.ts'),
    import('../next-steps.ts'),
  ]);
  const library = await io.library();
  // The restore is done: what cannot be read now is no failure of it.
  const layout = await library.readImageLayout(target).catch(() => undefined);
  if (layout === undefined) return;
  const text = describePartitions(layout).split('\n').filter(Boolean);
  for (const line of [...text, ...describeSteps(stepsAfterDownload(layout, volumeSize))]) printLine(io, line);
}
