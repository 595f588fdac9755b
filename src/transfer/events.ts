/** The events of a running transfer. Sizes in bytes, times in milliseconds. */
import type { ErrorCode, SystemErrorCode } from '../error-codes.ts';
import type { WarningCode } from '../warning-codes.ts';

/**
 * Before the blocks: read a list that nothing is transferred from, verify what an earlier run has done, prove that the target
 * or an image holds the base, hash a source. After them: read the target back, sync and rename it, hash it, complete the snapshot, wait
 * for it.
 */
export type TransferPhase =
  | 'listing'
  | 'verifying'
  | 'proving'
  | 'hashing'
  | 'reading-back'
  | 'committing'
  | 'completing'
  | 'waiting';

export interface TransferProgress {
  /** Bytes of the volume that are done: transferred, zero or known to be unchanged. */
  bytesDone: number;
  /** Size of the volume, or of the source. */
  bytesTotal: number;
  /**
   * Payload bytes that this run moves over the network in all, as far as known: from the list of blocks, which runs ahead,
   * or from the source. Never below `bytesTransferred`.
   */
  bytesToMove: number;
  /** Whether `bytesToMove` is known in full; until then it is a lower limit. */
  bytesToMoveKnown: boolean;
  /** Payload bytes moved over the network by this run. */
  bytesTransferred: number;
  blocksTransferred: number;
  /**
   * Bytes that needed no transfer: not in the snapshot, zeros or holes that are not uploaded, or unchanged.
   * `bytesDone` = `bytesTransferred` + `bytesSkipped` + `bytesResumed`.
   */
  bytesSkipped: number;
  /** Bytes known to be zeros: skipped ones, and blocks that were transferred; not those that did not change. */
  bytesZero: number;
  /** Bytes that earlier runs have done. */
  bytesResumed: number;
  retries: number;
  throttles: number;
  /** Current limit of requests per second; below the service's 1,000 after throttles. */
  requestsPerSecond: number;
  /** Current limit of requests in flight; below the number of workers on a slow line. */
  requestsInFlight: number;
  /** Time spent transferring: from the start to the last block, without connecting, syncing and waiting. */
  transferMs: number;
  elapsedMs: number;
}

export type TransferEvent =
  | {
      type: 'start';
      operation: 'download' | 'upload' | 'verify';
      snapshotId?: string;
      /** The target or source; the first of several targets. */
      path: string;
      /** All of several targets. */
      targets?: readonly string[];
      volumeSize: number;
      blockSize: number;
      bytesResumed: number;
    }
  | {
      type: 'start';
      operation: 'copy';
      source: { snapshotId: string; region: string };
      /** The copy, and its region. */
      snapshotId: string;
      region: string;
      path?: undefined;
      targets?: undefined;
      volumeSize: number;
      blockSize: number;
      bytesResumed: number;
    }
  | ({ type: 'progress' } & TransferProgress)
  /** A request failed and will be retried after `delayMs`. */
  | {
      type: 'retry';
      operation: string;
      block?: number;
      attempt: number;
      delayMs: number;
      code: ErrorCode | SystemErrorCode;
      message: string;
    }
  | { type: 'warning'; code: WarningCode; message: string }
  /** An upload's snapshot now exists, or with `resumed` it is that of an earlier run. */
  | { type: 'snapshot'; snapshotId: string; resumed?: true }
  /** The transfer entered another phase, or with `bytesDone` and `bytesTotal` got further in it. */
  | { type: 'phase'; phase: TransferPhase; bytesDone?: number; bytesTotal?: number }
  /** Nothing made progress for a moment. `what` completes "waiting for …"; `on` is the side that has to move. */
  | { type: 'waiting'; what: string; on: 'service' | 'disk'; silentMs: number }
  /** The state of the snapshot waited for; `progressPercent` (0 … 100) if the service reports it. */
  | { type: 'status'; snapshotId: string; status: string; progressPercent?: number; attempt: number }
  | ({ type: 'done'; snapshotId: string } & TransferProgress);

/** Must not block. The error that it throws, or rejects with, ends the call. */
export type TransferListener = (event: TransferEvent) => void;
