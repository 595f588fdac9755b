/** The options that download and upload have in common. */
import { type Command, Option } from 'commander';
import { ColdsnapError } from '../../errors.ts';
import type { CheckpointOptions, TransferOptions } from '../../transfer/options.ts';
import { definedOnly } from '../global-options.ts';
import { mebibytes, nonEmpty, wholeNumber } from '../values.ts';

export interface TransferFlags {
  workers?: number;
  rate?: number;
  transport?: 'fast' | 'sdk';
  checkpoint?: boolean;
  keepCheckpoint?: boolean;
  checkpointFile?: string;
  fresh?: boolean;
}

export function addPaceOptions(command: Command): void {
  command
    .option('--workers <n>', 'requests in flight, 1 to 1024 (default: 64)', wholeNumber(1, 1024))
    .option('--rate <mib>', 'most MiB per second (default: what the service allows)', mebibytes)
    .addOption(
      new Option(
        '--transport <how>',
        'how blocks travel: own connections, or all through the AWS SDK',
      ).choices(['fast', 'sdk']),
    );
}

export function addCheckpointOptions(command: Command): void {
  command
    .option('--checkpoint', 'keep a journal, to go on after an interruption; this is the default')
    .option('--no-checkpoint', 'keep no journal')
    .option('--keep-checkpoint', 'leave the journal in place after success')
    .option('--checkpoint-file <file>', 'where the journal goes, instead of its usual place', nonEmpty)
    .option('--fresh', 'begin anew: use no journal of an earlier run');
}

/**
 * The library's options for these flags.
 * @throws ColdsnapError class `usage` when they contradict each other
 */
export function transferOptions(
  flags: TransferFlags,
): CheckpointOptions & Pick<TransferOptions, 'workers' | 'bytesPerSecond' | 'transport'> {
  const {
    workers,
    rate: bytesPerSecond,
    transport,
    checkpoint,
    keepCheckpoint,
    checkpointFile,
    fresh,
  } = flags;
  const moot = keepCheckpoint
    ? '--keep-checkpoint'
    : checkpointFile !== undefined
      ? '--checkpoint-file'
      : undefined;
  if (checkpoint === false && moot !== undefined) {
    throw new ColdsnapError(
      'usage',
      'CONFLICTING_OPTIONS',
      `--no-checkpoint and ${moot} contradict each other`,
    );
  }
  return definedOnly({
    workers,
    bytesPerSecond,
    transport,
    checkpoint,
    keepCheckpoint,
    checkpointFile,
    fresh,
  });
}
