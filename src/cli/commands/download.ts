import { type Command, Option } from 'commander';
import { ColdsnapError } from '../../errors.ts';
import { sanitize } from '../../text.ts';
import type { DownloadOptions } from '../../transfer/options.ts';
import { runDryRun } from '../dry-run.ts';
import { runDownloadToTargets } from '../fan-out.ts';
import { definedOnly } from '../global-options.ts';
import type { CommandIo } from '../io.ts';
import {
  argumentsSwapped,
  downloadTitle,
  optionRequires,
  optionsExclude,
  overwriteQuestion,
} from '../messages.ts';
import { digestLine, printResult, toJson } from '../output.ts';
import { printNextSteps } from '../print-next-steps.ts';
import { resultObject, transferSummary, withProgress } from '../progress/index.ts';
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
        'stable storage; blocks that the snapshot does not have read as zeros. With several targets each block is fetched ' +
        'once. All are checked before any is touched; one that fails later is dropped, and the others continue at the ' +
        'speed of the slowest. stderr says which targets are whole, and the exit code is that of the first that failed.',
    )
    .argument('<snapshot>', 'ID of the snapshot')
    .argument('<target...>', 'files or block devices to write, or - alone for stdout')
    .option('-f, --force', 'overwrite an existing file, or a device that is not blank (never one in use)')
    .option('--verify', 'read everything back past the page cache, and fail if it differs; not to a pipe')
    .option(
      '--sha256',
      'read the finished image once, and print its SHA-256 as sha256sum does; not to a pipe',
    );
  command
    .option(
      '--since <base>',
      'update in place a target that holds this snapshot: compare a sample, then fetch only what has changed',
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
  command.action((snapshotId: string, targets: [string, ...string[]], flags: DownloadFlags) =>
    runCommand(command, async (io) => {
      const [target, ...others] = targets;
      const common = downloadOptions(snapshotId, targets, flags, io);
      if (others.length > 0) return runDownloadToTargets({ ...common, targets }, io, flags.dryRun);
      const options = { ...common, target };
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
      explanation: 'Update a disk from one snapshot to the next',
      line: 'sudo coldsnap download --since snap-0123456789abcdef0 snap-0fedcba9876543210 /dev/nvme1n1',
    },
    {
      explanation: 'Restore a snapshot to several disks at once',
      line: 'sudo coldsnap download snap-0123456789abcdef0 /dev/nvme1n1 /dev/nvme2n1 /dev/nvme3n1',
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
  targets: readonly string[],
  flags: DownloadFlags,
  { settings, reordered }: CommandIo,
): Omit<DownloadOptions, 'target'> {
  const swapped = targets.find((target) => target.startsWith('snap-'));
  if (!snapshotId.startsWith('snap-') && swapped !== undefined) {
    const others = targets.filter((target) => target !== swapped);
    throw argumentsSwapped(reordered([swapped, snapshotId, ...others]));
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
  };
}

/** Downloads; on a terminal it asks before it overwrites a disk that is not blank. */
async function runDownload(options: DownloadOptions & { target: string }, io: CommandIo): Promise<void> {
  let agreed: string | undefined;
  for (;;) {
    try {
      return await transfer(options, io);
    } catch (error) {
      if (!(error instanceof ColdsnapError) || error.code !== 'TARGET_NOT_BLANK') throw error;
      // Looked at again after the answer: while the question is open, another program may have written the disk.
      if (error.message === agreed) return transfer({ ...options, force: true }, io);
      if (!(await mayOverwrite(error, io))) throw error;
      agreed = error.message;
    }
  }
}

async function mayOverwrite(error: ColdsnapError, io: CommandIo): Promise<boolean> {
  if (io.ask === undefined || io.settings.json) return false;
  const answer = await io.ask(overwriteQuestion(sanitize(error.message, 2_000)));
  return /^y(es)?$/i.test(answer.trim());
}

async function transfer(options: DownloadOptions & { target: string }, io: CommandIo): Promise<void> {
  const toStdout = options.target === '-';
  const result = await withProgress(
    io,
    downloadTitle(options.snapshotId, options.target),
    async (hooks) => (await io.library()).downloadSnapshot({ ...options, ...hooks }),
    (downloaded) => transferSummary('download', options.target, downloaded),
  );
  if (toStdout) return;
  if (io.settings.json) {
    await printResult(io, `${toJson(resultObject('download', options.target, result))}\n`);
    return;
  }
  if (result.sha256 !== undefined) await printResult(io, `${digestLine(options.target, result.sha256)}\n`);
  if (io.settings.verbosity !== 'quiet' && io.settings.progress !== 'json') {
    await printNextSteps(options.target, result.volumeSize, io);
  }
}
