/** The events of a running transfer. Sizes in bytes, times in milliseconds. */
import type { ErrorCode, SystemErrorCode, WarningCode } from '../error-codes.ts';

/** The phases after the blocks: sync and rename the target, complete the snapshot, wait for it. */
export type TransferPhase = 'verifying' | 'committing' | 'completing' | 'waiting';

export interface TransferProgress {
  /** Bytes of the volume that are done: transferred, zero or known to be unchanged. */
  bytesDone: number;
  /** Size of the volume, or of the source. */
  bytesTotal: number;
  /** Payload bytes moved over the network by this run. */
  bytesTransferred: number;
  blocksTransferred: number;
  /** Bytes that needed no transfer because they are zeros (unlisted, or all-zero blocks not written). */
  bytesZero: number;
  /** Bytes already transferred by an earlier run. */
  bytesResumed: number;
  retries: number;
  throttles: number;
  /** Current limit of requests per second; below the service's 1,000 after throttles. */
  requestsPerSecond: number;
  /** Current limit of requests in flight; below the number of workers on a slow line. */
  requestsInFlight: number;
  elapsedMs: number;
}

export type TransferEvent =
  | {
      type: 'start';
      operation: 'download' | 'upload';
      snapshotId?: string;
      path: string;
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
  /** An upload's snapshot now exists. */
  | { type: 'snapshot'; snapshotId: string }
  /** The transfer entered another phase. */
  | { type: 'phase'; phase: TransferPhase; bytesDone?: number; bytesTotal?: number }
  /** The state of the snapshot waited for; `progressPercent` (0 … 100) if the service reports it. */
  | { type: 'status'; snapshotId: string; status: string; progressPercent?: number; attempt: number }
  | ({ type: 'done'; snapshotId: string } & TransferProgress);

export type TransferListener = (event: TransferEvent) => void;
