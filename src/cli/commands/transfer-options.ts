/** Options shared by download and upload. */
import { type Command, Option } from 'commander';
import type { CheckpointOptions, DigestOptions, TransferOptions } from '../../transfer/options.ts';
import { definedOnly } from '../global-options.ts';
import { optionsExclude } from '../messages.ts';
import { outputFile, rate, wholeNumber } from '../values.ts';

export interface TransferFlags {
  workers?: number;
  rate?: number;
  transport?: 'fast' | 'sdk';
  checkpoint?: boolean;
  keepCheckpoint?: boolean;
  checkpointFile?: string;
  fresh?: boolean;
  saveDigests?: string;
}

export function addPaceOptions(command: Command): void {
  command
    .option('--workers <n>', 'requests in flight, 1 to 1024 (default: 64)', wholeNumber(1, 1024))
    .option(
      '--rate <rate>',
      'limit per second, such as 40M or 2.5MiB/s; a bare number is MiB (default: what the service allows)',
      rate,
    )
    .addOption(
      new Option(
        '--transport <how>',
        'send block requests over connections of its own or through the AWS SDK (default: fast)',
      ).choices(['fast', 'sdk']),
    );
}

export function addDryRunOption(command: Command): void {
  command.option('-n, --dry-run', 'print what would be done and what it costs, and change nothing');
}

export function addDigestOption(command: Command): void {
  command.option(
    '--save-digests <file>',
    'write a digest file of the snapshot, for --base of a later upload; --force replaces another file',
    outputFile,
  );
}

export function addCheckpointOptions(command: Command): void {
  command
    .option('--checkpoint', 'keep a journal, so that an interrupted run can be resumed (default)')
    .option('--no-checkpoint', 'keep no journal')
    .option('--keep-checkpoint', 'keep the journal after success')
    .option('--checkpoint-file <file>', 'path of the journal', outputFile)
    .option('--fresh', 'start over: ignore the journal of an earlier run');
}

/**
 * The library's options for these flags.
 * @throws ColdsnapError class `usage` when two of them exclude each other
 */
export function transferOptions(
  flags: TransferFlags,
): CheckpointOptions & DigestOptions & Pick<TransferOptions, 'workers' | 'bytesPerSecond' | 'transport'> {
  const {
    workers,
    rate: bytesPerSecond,
    transport,
    checkpoint,
    keepCheckpoint,
    checkpointFile,
    fresh,
    saveDigests,
  } = flags;
  const conflicting = keepCheckpoint
    ? '--keep-checkpoint'
    : checkpointFile !== undefined
      ? '--checkpoint-file'
      : undefined;
  if (checkpoint === false && conflicting !== undefined) throw optionsExclude('--no-checkpoint', conflicting);
  return definedOnly({
    workers,
    bytesPerSecond,
    transport,
    checkpoint,
    keepCheckpoint,
    checkpointFile,
    fresh,
    saveDigests,
  });
}
