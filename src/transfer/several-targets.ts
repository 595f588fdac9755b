/** The options and the results of a download to several targets. */
import type { ColdsnapError } from '../errors.ts';
import type { TransferCost } from './cost.ts';
import type { TransferProgress } from './events.ts';
import type { DownloadOptions } from './options.ts';

/**
 * The options of a download, for several targets. Each target keeps its own rules, journal and commit. Its journal is where
 * that of a download to it alone is, so an interrupted run may be continued for some of the targets.
 */
export interface DownloadToTargetsOptions
  extends Omit<
    DownloadOptions,
    'target' | 'since' | 'trustBase' | 'verifyBase' | 'checkpointFile' | 'saveDigests'
  > {
  /** Paths of files and block devices, at least one; no two that share storage. */
  targets: readonly string[];
}

/** How a download to one of several targets ended. */
export interface TargetOutcome {
  /** As it was given. */
  path: string;
  /** Whether every byte of the target is right and on stable storage. */
  ok: boolean;
  /** Why it is not. */
  error?: ColdsnapError;
  /** With `sha256`: that of the volume's bytes on it, in hex. */
  sha256?: string;
}

/** Progress counts each block once, for all targets. */
export interface DownloadToTargetsResult extends TransferProgress {
  snapshotId: string;
  /** Volume size in bytes. */
  volumeSize: number;
  blockSize: number;
  /** In the order given. At least one is `ok`. */
  targets: TargetOutcome[];
}

/** The part of one target in the plan. */
export interface TargetPlan {
  readonly path: string;
  /** Blocks that would be written to it. */
  readonly blocks: number;
  /** Bytes in these blocks. */
  readonly bytes: number;
  /** Bytes that an earlier run has done, if they prove to be unchanged. */
  readonly bytesResumed: number;
  /** A sentence that names what would be overwritten. */
  readonly overwrites?: string;
}

/** The plan and the cost of a download to several targets. */
export interface TargetsDryRun extends TransferCost {
  readonly dryRun: true;
  readonly operation: 'download';
  readonly snapshotId: string;
  /** Bytes. */
  readonly volumeSize: number;
  /** Blocks that would be fetched: those that some target lacks. */
  readonly blocks: number;
  /** Bytes in these blocks. */
  readonly bytes: number;
  /** Bytes that no target lacks. */
  readonly bytesResumed: number;
  /** In the order given. */
  readonly targets: readonly TargetPlan[];
}
