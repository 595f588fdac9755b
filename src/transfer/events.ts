/** What a transfer tells its caller while it runs. Sizes in bytes, times in milliseconds. */

export interface TransferProgress {
  /** Bytes of the volume whose contents are settled: transferred, zero or known to be unchanged. */
  bytesDone: number;
  /** Size of the volume, or of the source. */
  bytesTotal: number;
  /** Payload bytes moved over the network by this run. */
  bytesTransferred: number;
  blocksTransferred: number;
  /** Bytes that needed no transfer because they are zeros (unlisted, or all-zero blocks not written). */
  bytesZero: number;
  /** Bytes that an earlier run had already moved. */
  bytesResumed: number;
  retries: number;
  throttles: number;
  /** Requests per second that the pace allows now: below the service's 1,000 after throttles. */
  requestsPerSecond: number;
  /** Requests in flight that the pace allows now: below the workers on a slow line. */
  requestsInFlight: number;
  elapsedMs: number;
}

/**
 * - `committing`: the image is synced and gets its name, or its first block
 * - `completing`: the service completes the snapshot
 * - `waiting`: the snapshot is waited for
 */
export type TransferPhase = 'committing' | 'completing' | 'waiting';

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
  /** A request failed and will be made again after `delayMs`. */
  | {
      type: 'retry';
      operation: string;
      block?: number;
      attempt: number;
      delayMs: number;
      code: string;
      message: string;
    }
  | { type: 'warning'; code: string; message: string }
  /** An upload's snapshot now exists. */
  | { type: 'snapshot'; snapshotId: string }
  /** The transfer entered another phase, for example `committing` (sync, rename). */
  | { type: 'phase'; phase: TransferPhase }
  /** The state of a snapshot that is being waited for; `progressPercent` (0 … 100) when the service tells it. */
  | { type: 'status'; snapshotId: string; status: string; progressPercent?: number; attempt: number }
  | ({ type: 'done'; snapshotId: string } & TransferProgress);

export type TransferListener = (event: TransferEvent) => void;
