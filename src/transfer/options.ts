/** What callers of the library give and get. Everything a command can do is said here. */

import type { Readable, Writable } from 'node:stream';
import type { SnapshotTag } from '../ebs/api.ts';
import type { Deadlines, SdkClient, ServiceOptions } from '../ebs/client-options.ts';
import type { TransferListener, TransferProgress } from './events.ts';

export type { Deadlines, SdkClient, ServiceOptions };

/** What every function of the library takes: how to reach the service, when to stop, and whom to tell. */
export interface ClientOptions extends ServiceOptions {
  /** Milliseconds without any success after which retrying ends. Default 600,000 (10 min). */
  retryForMs?: number | undefined;
  /** When a connection counts as dead, instead of 10 s to establish it and 60 s without a byte. Not for clients of yours. */
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
   * How block data travel: `fast` over connections of our own, `sdk` over the AWS SDK's handler, as everything else does.
   * Default `fast`, or `sdk` with a client of yours, whose handler and middleware are then used.
   */
  transport?: 'fast' | 'sdk' | undefined;
  /** Requests in flight, 1 … 1,024. Default 64. */
  workers?: number | undefined;
  /** Most payload bytes per second, above 0. Default: a little under the service's 1,000 blocks a second. */
  bytesPerSecond?: number | undefined;
}

/** How an interrupted transfer is made resumable. Streams and pipes have no journal, whatever is said here. */
export interface CheckpointOptions {
  /** Keep a journal, so that the same call goes on after an interruption. Default true. */
  checkpoint?: boolean;
  /** Leave the journal in place after success. Default false. */
  keepCheckpoint?: boolean;
  /** Where the journal goes, instead of its usual place. */
  checkpointFile?: string;
  /** Begin anew: a journal of an earlier run is not used. Default false. */
  fresh?: boolean;
  /** Milliseconds between two saves of the journal: a crash costs what was moved since the last. Default 5,000. */
  checkpointIntervalMs?: number;
}

export interface DownloadOptions extends TransferOptions, CheckpointOptions {
  snapshotId: string;
  /** Path of a file or block device, `-` for stdout, or a stream that receives the image in order. */
  target: string | Writable;
  /** Overwrite an existing file or a device that is not blank. Never one that is in use. */
  force?: boolean | undefined;
}

export interface DownloadResult extends TransferProgress {
  snapshotId: string;
  /** Volume size in bytes. */
  volumeSize: number;
  blockSize: number;
}

export interface UploadOptions extends TransferOptions, CheckpointOptions {
  /** Path of a file or block device, `-` for stdin, or a stream; the last two need `volumeSizeGiB`. */
  source: string | Readable;
  /** 1 … 65,536 GiB, at least the source. Default: the source's size rounded up to GiB. */
  volumeSizeGiB?: number;
  /** At most 255 characters. Default: the base name of the source. */
  description?: string;
  /** At most 50; keys of at most 127 characters, values of at most 255. */
  tags?: readonly SnapshotTag[];
  /** Encrypt with this KMS key (ID, alias or ARN). Not together with `parentSnapshotId`. */
  kmsKeyId?: string;
  /** Encrypt with the account's default key. Not together with `parentSnapshotId`. */
  encrypted?: boolean;
  /** Record this snapshot as the parent: blocks that are not put keep its content. */
  parentSnapshotId?: string;
  /**
   * Do not send blocks that are all zeros. Only right where the snapshot is and stays unencrypted and has no parent;
   * refused (class `refused`) otherwise.
   */
  omitZeroBlocks?: boolean;
  /** Leave out the holes that the file system reports (SEEK_HOLE); zeros that were written are sent. */
  detectHoles?: boolean;
  /** Leave out the holes in this map, the output of `qemu-img map --output=json`. It must cover the source exactly. */
  holesFromSidecar?: string;
  /** What becomes of the snapshot when the upload fails for good. Default `keep`: it can be gone on with. */
  onFailure?: 'keep' | 'delete';
  /** After completing, wait until the snapshot is usable; `true` means with the defaults. Default false. */
  wait?: boolean | WaitConditions;
}

export interface UploadResult extends TransferProgress {
  snapshotId: string;
  /** Volume size in bytes. */
  volumeSize: number;
  blockSize: number;
  /** The snapshot's state as last heard: `pending` or `completed`. */
  status: string;
}

/** What to wait for, how often to ask, and when to stop asking. */
export interface WaitConditions {
  /** `completed`, `pending`, `error`, `recovering` or `recoverable`. Default `completed`. */
  desiredStatus?: string;
  /** Answers in a row that must show the desired status. Default 3. */
  successesRequired?: number;
  /** Answers without the desired status after which waiting ends, from 1. Default: no limit. */
  maxAttempts?: number;
  /** Pause between two questions, in seconds. Default 2. */
  secondsBetweenAttempts?: number;
  /** Milliseconds after which waiting ends, however many questions that was; at most 2,147,483,647. Default: no limit. */
  timeoutMs?: number;
}

/** `onEvent` receives `status`, `retry` and `warning` events. */
export interface WaitOptions extends ClientOptions, WaitConditions {
  snapshotId: string;
}

export interface WaitResult {
  snapshotId: string;
  status: string;
  /** Times that the status was asked for. */
  attempts: number;
  elapsedMs: number;
}

/** A snapshot that this tool began and that has not completed. */
export interface PendingSnapshot {
  snapshotId: string;
  /** `pending` or `error`. */
  status: string;
  /** Why it is in `error`. */
  statusMessage?: string;
  /** 0 … 100, where EC2 tells it. */
  progressPercent?: number;
  /** GiB. */
  volumeSizeGiB: number;
  description: string;
  startTime: Date;
  /** Its upload's journal, where that is on this machine and not beside the source. */
  journal?: string;
  /** Nobody can be uploading it: it has failed, or its journal on this machine has been idle for an hour. */
  abandoned: boolean;
}

export interface DeletePendingOptions extends ClientOptions {
  /** Only these. Default: all that are `abandoned`. */
  snapshotIds?: readonly string[];
  /** All of them, also those that may be being uploaded at this moment, here or elsewhere. Default false. */
  force?: boolean;
}

export interface DeletePendingResult {
  deleted: PendingSnapshot[];
  /** Left alone: an upload may be going on, or it has completed in the meantime. */
  kept: PendingSnapshot[];
}
