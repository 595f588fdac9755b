import { type Command, Option } from 'commander';
import { destinationOf } from '../../destination.ts';
import type { SnapshotTag } from '../../ebs/api.ts';
import type { CopyDestination, CopyOptions, CopyResult } from '../../transfer/options.ts';
import { copyTitle } from '../copy-messages.ts';
import { runDryRun } from '../dry-run.ts';
import { definedOnly } from '../global-options.ts';
import type { CommandIo, Settings } from '../io.ts';
import { optionRequires } from '../messages.ts';
import { copyObject, copySummary } from '../progress/index.ts';
import { endpointUrl, nonEmpty, tag } from '../values.ts';
import { addExamples, type RunCommand } from './command.ts';
import { makeSnapshot } from './new-snapshot.ts';
import {
  addCheckpointOptions,
  addDryRunOption,
  addPaceOptions,
  type TransferFlags,
  transferOptions,
} from './transfer-options.ts';
import { addWaitOptions, type WaitFlags, waitOption } from './wait.ts';

interface CopyFlags extends TransferFlags, WaitFlags {
  toRegion?: string;
  toProfile?: string;
  toEndpoint?: string;
  toEbsEndpoint?: string;
  toEc2Endpoint?: string;
  dryRun?: boolean;
  description?: string;
  tag?: SnapshotTag[];
  copyTags?: boolean;
  kmsKeyId?: string;
  encrypted?: boolean;
  since?: string;
  parentSnapshotId?: string;
  skipUnlisted?: boolean;
  wait?: boolean;
}

export function addCopy(program: Command, runCommand: RunCommand): Command {
  const command = program
    .command('copy')
    .summary('copy a snapshot to another region, account or key')
    .description(
      'Copy a snapshot block by block, through memory, and print the ID of the copy on stdout when it is complete. The ' +
        'global options --region, --profile and --endpoint are of the source, the --to- options of the destination. Its ' +
        'profile defaults to --profile, its region to --region, the environment or that of its profile, and its endpoints ' +
        "to the source's if region and profile are the same.",
    )
    .argument('<snapshot>', 'ID of the snapshot')
    .option('--to-region <region>', 'region of the copy', nonEmpty)
    .option('--to-profile <profile>', 'profile in the AWS configuration files, for the copy', nonEmpty)
    .option('--to-endpoint <url>', 'endpoint for all AWS services of the copy', endpointUrl)
    .option('--to-ebs-endpoint <url>', 'endpoint for the EBS direct APIs of the copy', endpointUrl)
    .option('--to-ec2-endpoint <url>', 'endpoint for EC2 of the copy', endpointUrl)
    .option('--description <text>', "description of the copy (default: the source's)")
    .option('--tag <tag>', 'tag, as Key=name,Value=text or name=text; repeatable', tag)
    .option(
      '--copy-tags',
      'copy the tags of the source, except those of AWS and coldsnap; --tag takes precedence',
    )
    .addOption(
      new Option('--kms-key-id <key>', 'encrypt with this KMS key of the destination')
        .argParser(nonEmpty)
        .conflicts('parentSnapshotId'),
    )
    .addOption(
      new Option('--encrypted', 'encrypt with the default key of the destination').conflicts(
        'parentSnapshotId',
      ),
    )
    .option(
      '--since <base>',
      'send only what has changed since this snapshot; requires its copy as the parent',
      nonEmpty,
    )
    .option(
      '--parent-snapshot-id <snapshot>',
      'the copy of the base of --since, at the destination',
      nonEmpty,
    )
    .option(
      '--skip-unlisted',
      'send no zeros for blocks that the source does not list, though they would read as random data in an encrypted copy',
    );
  addPaceOptions(command);
  addCheckpointOptions(command);
  addDryRunOption(command);
  command.option('--wait', 'wait until the copy is completed and readable');
  addWaitOptions(command);
  command.action((snapshotId: string, flags: CopyFlags) =>
    runCommand(command, async (io) => {
      const options = copyOptions(snapshotId, flags, io.settings);
      if (flags.dryRun !== true) return runCopy(options, io);
      return runDryRun(io, copyTitle(snapshotId), async (hooks) =>
        (await io.library()).estimateCopy({ ...options, ...hooks }),
      );
    }),
  );
  return addExamples(command, [
    {
      explanation: 'See what a copy to another region costs',
      line: 'coldsnap copy --dry-run --to-region eu-west-1 snap-0123456789abcdef0',
    },
    {
      explanation: 'Copy a snapshot to another account, with its tags',
      line: 'coldsnap copy --to-profile backup --copy-tags snap-0123456789abcdef0',
    },
    {
      explanation: 'Send what has changed since a snapshot that was copied before',
      line:
        'coldsnap copy --to-region eu-west-1 --since snap-0123456789abcdef0 --parent-snapshot-id snap-0aaaabbbbccccdddd ' +
        'snap-0fedcba9876543210',
    },
    {
      explanation: 'Encrypt',
      line: 'coldsnap copy --kms-key-id alias/backup snap-0123456789abcdef0',
    },
  ]);
}

function copyOptions(snapshotId: string, flags: CopyFlags, settings: Settings): CopyOptions {
  const wait = waitOption(flags);
  const { since, parentSnapshotId } = flags;
  if (since !== undefined && parentSnapshotId === undefined)
    throw optionRequires('--since', '--parent-snapshot-id');
  if (since === undefined && parentSnapshotId !== undefined)
    throw optionRequires('--parent-snapshot-id', '--since');
  return {
    ...settings.service,
    ...transferOptions(flags),
    ...definedOnly({
      since,
      parentSnapshotId,
      description: flags.description,
      tags: flags.tag,
      copyTags: flags.copyTags,
      kmsKeyId: flags.kmsKeyId,
      encrypted: flags.encrypted,
      skipUnlisted: flags.skipUnlisted,
    }),
    to: destination(flags),
    ...wait,
    snapshotId,
  };
}

function destination(flags: CopyFlags): CopyDestination {
  const { toRegion, toProfile, toEndpoint, toEbsEndpoint, toEc2Endpoint } = flags;
  return definedOnly({
    region: toRegion,
    profile: toProfile,
    endpoint: toEndpoint,
    ebsEndpoint: toEbsEndpoint,
    ec2Endpoint: toEc2Endpoint,
  });
}

async function runCopy(options: CopyOptions, io: CommandIo): Promise<void> {
  await makeSnapshot<CopyResult>(io, {
    operation: 'copy',
    title: copyTitle(options.snapshotId),
    wait: options.wait,
    service: definedOnly(destinationOf(io.settings.service, options.to)),
    make: async (hooks) => (await io.library()).copySnapshot({ ...options, ...hooks }),
    summarize: copySummary,
    document: copyObject,
  });
}
