/** The options and results of the library. */
import type { Readable, Writable } from 'node:stream';
import type { SnapshotTag } from '../ebs/api.ts';
import type { Deadlines, SdkClient, ServiceOptions } from '../ebs/client-options.ts';
import type { TransferListener, TransferProgress } from './events.ts';
import type { DigestOptions, IncrementalOptions, IncrementalResult } from './incremental-options.ts';

export type * from './comparison.ts';
export type * from './copy-options.ts';
export type * from './incremental-options.ts';
export type { Deadlines, SdkClient, ServiceOptions };

/** Options of every function of the library. */
export interface ClientOptions extends ServiceOptions {
  /**
   * Milliseconds without any success after which retries end. Default 600,000 (10 min). An endpoint that was never reached
   * is given up after 5 seconds already.
   */
  retryForMs?: number | undefined;
  /** Deadlines of connections. Default 10 s to connect and 60 s without a byte. Not applied to your own clients. */
  deadlines?: Partial<Deadlines> | undefined;
  /** Your own `EBSClient`, instead of region, profile and endpoint; it is used as it is and stays open. */
  ebsClient?: SdkClient | undefined;
  /** Your own `EC2Client`, for what the EBS direct APIs lack: snapshot states, deleting, tags. */
  ec2Client?: SdkClient | undefined;
  /** Stops the work. A transfer begins no write after it fires, and what was moved stays resumable. */
  signal?: AbortSignal | undefined;
  onEvent?: TransferListener | undefined;
}

export interface TransferOptions extends ClientOptions {
  /**
   * Transfers blocks over own connections (`fast`) or through the AWS SDK (`sdk`), like all other requests. Default
   * `fast`, or `sdk` with your own client, whose handler and middleware are used. `fast` uses the SDK behind a proxy.
   */
  transport?: 'fast' | 'sdk' | undefined;
  /** Requests in flight, 1 … 1,024. Default 64. */
  workers?: number | undefined;
  /** Limit of payload bytes per second, above 0. Default: slightly below the service's 1,000 blocks per second. */
  bytesPerSecond?: number | undefined;
}

/** The journal of a transfer, which makes it resumable. Streams and pipes have none. */
export interface CheckpointOptions {
  /** Keep a journal, so that the same call resumes after an interruption. Default true. */
  checkpoint?: boolean | undefined;
  /** Keep the journal after success. Default false. */
  keepCheckpoint?: boolean | undefined;
  /** Path of the journal. Default: next to a file, in the state directory for a device. */
  checkpointFile?: string | undefined;
  /** Start over: ignore the journal of an earlier run. Default false. */
  fresh?: boolean | undefined;
  /**
   * Most milliseconds between saves of the journal; the first come sooner. A crash loses the blocks since the last.
   * Default 5,000.
   */
  checkpointIntervalMs?: number | undefined;
}

export interface DownloadOptions extends TransferOptions, CheckpointOptions, DigestOptions {
  snapshotId: string;
  /** Path of a file or block device, `-` for stdout, or a stream that receives the image in order. */
  target: string | Writable;
  /** Overwrite an existing file or a device that is not blank (never one in use). */
  force?: boolean | undefined;
  /**
   * Read everything back past the page cache after it was synced, and compare it with the digests that arrived. A range that differs
   * is written once more; then the download fails (class `integrity`, code `TARGET_DAMAGED`). Not for streams. Default false.
   */
  verify?: boolean | undefined;
  /**
   * The target, a file or device, holds this snapshot: fetch only what has changed since, and make zeros of what is gone. It
   * is compared first: its first 32 MiB, the last block of the volume, and 64 random others.
   */
  since?: string | undefined;
  /** With `since`: do not compare the target with the base. Default false. */
  trustBase?: boolean | undefined;
  /** With `since`: compare all of the target with the base. Default false. */
  verifyBase?: boolean | undefined;
  /** Read the finished image once, and return its SHA-256. Not for streams. Default false. */
  sha256?: boolean | undefined;
}

export interface DownloadResult extends TransferProgress {
  snapshotId: string;
  /** Volume size in bytes. */
  volumeSize: number;
  blockSize: number;
  /** With `sha256`: that of the volume's bytes on the target, in hex. */
  sha256?: string;
}

export interface UploadOptions extends TransferOptions, CheckpointOptions, DigestOptions, IncrementalOptions {
  /** Path of a file or block device, `-` for stdin, or a stream; the last two require `volumeSizeGiB`. */
  source: string | Readable;
  /**
   * `raw`: upload the source's bytes as they are. Default: refuse images in other formats (qcow2, VMDK, …), compressed files
   * and archives, by the bytes at their beginning.
   */
  sourceFormat?: 'raw' | undefined;
  /**
   * Upload a block device although it is mounted read-write or open for writing, or what an interrupted download has left, with a
   * warning. Default false.
   */
  force?: boolean | undefined;
  /** 1 … 65,536 GiB, at least the source. Default: the source's size rounded up to GiB. */
  volumeSizeGiB?: number | undefined;
  /** At most 255 characters. Default: the base name of the source. */
  description?: string | undefined;
  /** At most 50; keys of at most 127 characters, values of at most 255. */
  tags?: readonly SnapshotTag[] | undefined;
  /** Encrypt with this KMS key (ID, alias or ARN). Not together with `parentSnapshotId`. */
  kmsKeyId?: string | undefined;
  /** Encrypt with the account's default key. Not together with `parentSnapshotId`. */
  encrypted?: boolean | undefined;
  /** Record this snapshot as the parent; skipped blocks keep its contents. */
  parentSnapshotId?: string | undefined;
  /**
   * Skip blocks of zeros. Correct only for unencrypted snapshots without a parent; otherwise refused (class `refused`).
   */
  omitZeroBlocks?: boolean | undefined;
  /**
   * Skip the holes that the file system reports (SEEK_HOLE); written zeros are uploaded. In an encrypted snapshot holes are
   * uploaded as zeros.
   */
  detectHoles?: boolean | undefined;
  /**
   * Skip the holes in this output of `qemu-img map --output=json`, which must cover the source exactly. Unless the file system
   * reports a hole too, they are read and must be zeros. In an encrypted snapshot they are uploaded as zeros.
   */
  holesFromSidecar?: string | undefined;
  /** Keep or delete the snapshot of a failed upload. Default `keep`, so that it can be resumed. */
  onFailure?: 'keep' | 'delete' | undefined;
  /** Wait until the snapshot is usable; `true` uses the default conditions. Default false. */
  wait?: boolean | WaitConditions | undefined;
  /** Read the source once before the upload, and return its SHA-256. Not for streams. Default false. */
  sha256?: boolean | undefined;
  /**
   * Called with the result, and awaited, before the journal is removed. The ID of the snapshot is not lost if the
   * process is killed: until this has stored it, the same call gives the same result without sending anything again.
   */
  onResult?: ((result: UploadResult) => void | Promise<void>) | undefined;
}

export interface UploadResult extends TransferProgress, IncrementalResult {
  /** The new snapshot; with `incremental` the parent, if nothing differs and the service makes no empty snapshot. */
  snapshotId: string;
  /** Volume size in bytes. */
  volumeSize: number;
  blockSize: number;
  /** With `sha256`: that of the source's own bytes, in hex. */
  sha256?: string;
  /** The last known state of the snapshot: `pending` or `completed`. */
  status: string;
}

/** The status to wait for, and the limits of waiting. */
export interface WaitConditions {
  /** `completed`, `pending`, `error`, `recovering` or `recoverable`. Default `completed`. */
  desiredStatus?: string | undefined;
  /** Consecutive polls that must report the desired status. Default 3. */
  successesRequired?: number | undefined;
  /** Polls without the desired status after which waiting ends, from 1. Default: no limit. */
  maxAttempts?: number | undefined;
  /** Seconds between polls. Default 2. */
  secondsBetweenAttempts?: number | undefined;
  /** Milliseconds after which waiting ends, at most 2,147,483,647. Default: no limit. */
  timeoutMs?: number | undefined;
}

/** `onEvent` receives `status`, `retry` and `warning` events. */
export interface WaitOptions extends ClientOptions, WaitConditions {
  snapshotId: string;
}

export interface WaitResult {
  snapshotId: string;
  status: string;
  /** Number of polls. */
  attempts: number;
  elapsedMs: number;
}

/** A tag that a snapshot must have; without `value`, any value matches. `*` and `?` are wildcards. */
export interface TagFilter {
  key: string;
  value?: string | undefined;
}

export interface ListOptions extends ClientOptions {
  /** Only snapshots that have all of these tags. Default: all snapshots that the account owns in the region. */
  tags?: readonly TagFilter[] | undefined;
}

/** A snapshot of the account, as EC2 describes it. */
export interface SnapshotInfo {
  snapshotId: string;
  /** `pending`, `completed`, `error`, `recoverable` or `recovering`. */
  status: string;
  /** 0 … 100, if EC2 reports it. */
  progressPercent?: number | undefined;
  /** GiB. */
  volumeSizeGiB: number;
  encrypted: boolean;
  startTime: Date;
  description: string;
  tags: Readonly<Record<string, string>>;
}

/** The snapshot of an incomplete upload by coldsnap. */
export interface PendingSnapshot {
  snapshotId: string;
  /** `pending` or `error`. */
  status: string;
  /** Why it is in `error`. */
  statusMessage?: string | undefined;
  /** 0 … 100, if EC2 reports it. */
  progressPercent?: number | undefined;
  /** GiB. */
  volumeSizeGiB: number;
  description: string;
  startTime: Date;
  /** The journal of the upload, if it is in the state directory of this machine. */
  journal?: string | undefined;
  /** No upload is running: the snapshot is in state `error`, or its journal in the state directory was idle for an hour. */
  abandoned: boolean;
}

export interface ListPendingOptions extends ClientOptions {
  /** Only these snapshots. Default: all. */
  snapshotIds?: readonly string[] | undefined;
}

export interface DeletePendingOptions extends ClientOptions {
  /** The snapshots to delete. Default: all that are `abandoned`. */
  snapshotIds?: readonly string[] | undefined;
  /** Also delete snapshots that may still be uploading, here or elsewhere. Default false. */
  force?: boolean | undefined;
}

export interface DeletePendingResult {
  deleted: PendingSnapshot[];
  /** Not deleted: an upload may be running, or the snapshot was completed in the meantime. */
  kept: PendingSnapshot[];
}
