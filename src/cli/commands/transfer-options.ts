/** The options that download and upload have in common. */
import type { Command } from 'commander';
import { ColdsnapError } from '../../errors.ts';
import type { CheckpointOptions } from '../../transfer/options.ts';
import { definedOnly } from '../global-options.ts';
import { nonEmpty, wholeNumber } from '../values.ts';

export interface TransferFlags {
  workers?: number;
  checkpoint?: boolean;
  keepCheckpoint?: boolean;
  checkpointFile?: string;
  fresh?: boolean;
}

export function addWorkersOption(command: Command): void {
  command.option('--workers <n>', 'requests in flight, 1 to 1024 (default: 64)', wholeNumber(1, 1024));
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
export function checkpointOptions(flags: TransferFlags): CheckpointOptions & { workers?: number } {
  const { workers, checkpoint, keepCheckpoint, checkpointFile, fresh } = flags;
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
  return definedOnly({ workers, checkpoint, keepCheckpoint, checkpointFile, fresh });
}
