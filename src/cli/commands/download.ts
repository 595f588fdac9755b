import { type Command, Option } from 'commander';
import { ColdsnapError } from '../../errors.ts';
import { sanitize } from '../../text.ts';
import type { DownloadOptions } from '../../transfer/options.ts';
import { definedOnly } from '../global-options.ts';
import type { CommandIo, Settings } from '../io.ts';
import { argumentsSwapped, downloadTitle, optionRequires, overwriteQuestion } from '../messages.ts';
import { printResult } from '../output.ts';
import { nonEmpty } from '../values.ts';
import { addExamples, type RunCommand } from './command.ts';
import {
  addCheckpointOptions,
  addPaceOptions,
  type TransferFlags,
  transferOptions,
} from './transfer-options.ts';

interface DownloadFlags extends TransferFlags {
  force?: boolean;
  verify?: boolean;
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
    .option('--verify', 'read everything back past the page cache, and fail if it differs; not to a pipe');
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
  addPaceOptions(command);
  addCheckpointOptions(command);
  command.action((snapshotId: string, target: string, flags: DownloadFlags) =>
    runCommand(command, (io) => runDownload(downloadOptions(snapshotId, target, flags, io.settings), io)),
  );
  return addExamples(command, [
    {
      explanation: 'Restore a snapshot onto a blank disk',
      line: 'sudo coldsnap download snap-0123456789abcdef0 /dev/nvme1n1',
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
  const { force, verify, since, trustBase, verifyBase } = flags;
  if (since === undefined && (trustBase || verifyBase))
    throw optionRequires(trustBase ? '--trust-base' : '--verify-base', '--since');
  return {
    ...settings.service,
    ...transferOptions(flags),
    ...definedOnly({ force, verify, since, trustBase, verifyBase }),
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
  if (io.settings.json && !toStdout) {
    await printResult(io, `${JSON.stringify(resultObject('download', options.target, result))}\n`);
  }
}
