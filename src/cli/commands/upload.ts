import { type Command, Option } from 'commander';
import type { SnapshotTag } from '../../ebs/api.ts';
import type { UploadOptions, UploadResult } from '../../transfer/options.ts';
import { runDryRun } from '../dry-run.ts';
import { definedOnly } from '../global-options.ts';
import type { CommandIo, Settings } from '../io.ts';
import { optionRequires, shardsUnused, uploadTitle } from '../messages.ts';
import { digestLine, printLine } from '../output.ts';
import { resultObject, transferSummary } from '../progress/index.ts';
import { nonEmpty, tag, volumeSize, wholeNumber } from '../values.ts';
import { addExamples, type RunCommand } from './command.ts';
import { makeSnapshot } from './new-snapshot.ts';
import {
  addCheckpointOptions,
  addDigestOption,
  addDryRunOption,
  addPaceOptions,
  type TransferFlags,
  transferOptions,
} from './transfer-options.ts';
import { addWaitOptions, type WaitFlags, waitOption } from './wait.ts';

interface UploadFlags extends TransferFlags, WaitFlags {
  force?: boolean;
  dryRun?: boolean;
  sourceFormat?: 'raw';
  volumeSize?: number;
  description?: string;
  tag?: SnapshotTag[];
  kmsKeyId?: string;
  encrypted?: boolean;
  parentSnapshotId?: string;
  incremental?: boolean;
  base?: string;
  trustBase?: boolean;
  verifyBase?: boolean;
  omitZeroBlocks?: boolean;
  detectHoles?: boolean;
  holesFromSidecar?: string;
  onFailure?: 'keep' | 'delete';
  clientShards?: number;
  wait?: boolean;
  sha256?: boolean;
}

export function addUpload(program: Command, runCommand: RunCommand): Command {
  const command = program
    .command('upload')
    .summary('upload a file or block device to a new snapshot')
    .description(
      'Upload a file or block device to a new snapshot, and print its ID on stdout when it is complete.',
    )
    .argument('<source>', 'file or block device to read, or - for stdin (requires --volume-size)')
    .option(
      '--volume-size <size>',
      'size of the volume, such as 8G or 1T; a bare number is GiB (default: the size of the source, rounded up)',
      volumeSize,
    )
    .addOption(
      new Option(
        '--source-format <format>',
        'raw: upload the bytes as they are, even if they look like another format',
      ).choices(['raw']),
    )
    .option(
      '-f, --force',
      'upload a device that is mounted read-write or open for writing, or an unfinished download',
    )
    .option('--description <text>', 'description of the snapshot (default: name of the source)')
    .option('--tag <tag>', 'tag, as Key=name,Value=text or name=text; repeatable', tag)
    .addOption(
      new Option('--kms-key-id <key>', 'encrypt with this KMS key')
        .argParser(nonEmpty)
        .conflicts('parentSnapshotId'),
    )
    .addOption(
      new Option('--encrypted', "encrypt with the account's default key").conflicts('parentSnapshotId'),
    )
    .option('--parent-snapshot-id <snapshot>', 'record this snapshot as the parent', nonEmpty)
    .option('--incremental', 'upload only the blocks that differ from the parent')
    .option(
      '--base <file>',
      'with --incremental: a digest file or raw image of the parent, to compare with instead of fetching its blocks',
      nonEmpty,
    )
    .option('--trust-base', 'with an image as --base: do not compare 64 blocks of it with the parent first')
    .addOption(
      new Option(
        '--verify-base',
        'with an image as --base: compare all of it with the parent first',
      ).conflicts('trustBase'),
    )
    .option('--omit-zero-blocks', 'skip blocks of zeros; refused where that would corrupt the snapshot')
    .addOption(
      new Option('--detect-holes', 'skip the holes that the file system reports').conflicts(
        'holesFromSidecar',
      ),
    )
    .option(
      '--holes-from-sidecar <file>',
      "skip the holes in this output of 'qemu-img map --output=json'",
      nonEmpty,
    )
    .addOption(
      new Option(
        '--on-failure <action>',
        'keep or delete the snapshot if the upload fails (default: keep)',
      ).choices(['keep', 'delete']),
    );
  addDigestOption(command);
  addPaceOptions(command);
  command.option(
    '--client-shards <n>',
    'accepted for compatibility; no effect',
    wholeNumber(1, Number.MAX_SAFE_INTEGER),
  );
  addCheckpointOptions(command);
  addDryRunOption(command);
  command.option(
    '--sha256',
    'read the source once before the upload, and print its SHA-256 on stderr; not of a pipe',
  );
  command.option('--wait', 'wait until the snapshot is completed and readable');
  addWaitOptions(command);
  command.action((source: string, flags: UploadFlags) =>
    runCommand(command, async (io) => {
      const options = uploadOptions(source, flags, io.settings);
      if (flags.dryRun !== true) return runUpload(options, io, flags.clientShards);
      return runDryRun(io, uploadTitle(source), async (hooks) =>
        (await io.library()).estimateUpload({ ...options, ...hooks }),
      );
    }),
  );
  return addExamples(command, [
    { explanation: 'See what an upload costs', line: 'coldsnap upload --dry-run disk.img' },
    { explanation: 'Upload a disk image', line: 'coldsnap upload disk.img' },
    {
      explanation: 'Upload, tag and wait; store the ID in a variable',
      line: 'id=$(coldsnap upload --wait --tag Name=web disk.img)',
    },
    {
      explanation: 'Upload what has changed, and keep digests for the next time',
      line: 'coldsnap upload --incremental --parent-snapshot-id snap-0123456789abcdef0 --save-digests disk.digests disk.img',
    },
    { explanation: 'Upload from a pipe', line: 'zstd -dc disk.img.zst | coldsnap upload --volume-size 8 -' },
  ]);
}

function uploadOptions(
  source: string,
  flags: UploadFlags,
  settings: Settings,
): UploadOptions & { source: string } {
  const wait = waitOption(flags);
  checkBaseFlags(flags);
  const { description, kmsKeyId, encrypted, parentSnapshotId, omitZeroBlocks, detectHoles } = flags;
  const { incremental, base, trustBase, verifyBase } = flags;
  const {
    holesFromSidecar,
    onFailure,
    tag: tags,
    force,
    sourceFormat,
    sha256,
    volumeSize: volumeSizeGiB,
  } = flags;
  return {
    ...settings.service,
    ...transferOptions(flags),
    ...definedOnly({
      volumeSizeGiB,
      description,
      tags,
      kmsKeyId,
      encrypted,
      parentSnapshotId,
      omitZeroBlocks,
    }),
    ...definedOnly({ force, sourceFormat, detectHoles, holesFromSidecar, onFailure, sha256 }),
    ...definedOnly({ incremental, base, trustBase, verifyBase }),
    ...wait,
    source,
  };
}

/** @throws ColdsnapError class `usage` */
function checkBaseFlags({ incremental, parentSnapshotId, base, trustBase, verifyBase }: UploadFlags): void {
  if (incremental && parentSnapshotId === undefined)
    throw optionRequires('--incremental', '--parent-snapshot-id');
  const given = [base !== undefined && '--base', trustBase && '--trust-base', verifyBase && '--verify-base'];
  const [first] = given.filter((flag) => typeof flag === 'string');
  if (first !== undefined && !incremental) throw optionRequires(first, '--incremental');
  if (first !== undefined && base === undefined) throw optionRequires(first, '--base');
}

async function runUpload(
  options: UploadOptions & { source: string },
  io: CommandIo,
  clientShards?: number,
): Promise<void> {
  const { sha256 } = await makeSnapshot<UploadResult>(io, {
    operation: 'upload',
    title: uploadTitle(options.source),
    wait: options.wait,
    // The digest file gets its name at the very end.
    endsWithMore: options.saveDigests !== undefined && options.checkpoint !== false && options.source !== '-',
    service: io.settings.service,
    make: async ({ onEvent, ...hooks }) => {
      if (clientShards !== undefined) onEvent(shardsUnused);
      return (await io.library()).uploadSnapshot({ ...options, ...hooks, onEvent });
    },
    summarize: (uploaded) => transferSummary('upload', options.source, uploaded),
    document: (uploaded) => resultObject('upload', options.source, uploaded),
  });
  // The summary has it, too; stdout has the ID alone.
  const { json, verbosity } = io.settings;
  if (sha256 !== undefined && !json && verbosity === 'quiet')
    printLine(io, digestLine(options.source, sha256));
}
