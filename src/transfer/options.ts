/** What callers of the library give and get. Everything a command can do is said here. */
import type { Writable } from 'node:stream';
import type { TransferListener, TransferProgress } from './events.ts';

/** How to reach the service. Whatever is left out comes from the SDK's chains: environment, profile files, instance role. */
export interface ServiceOptions {
  region?: string;
  profile?: string;
  /** Endpoint URL for both services; a service's own endpoint wins. */
  endpoint?: string;
  ebsEndpoint?: string;
  ec2Endpoint?: string;
  /** Milliseconds without progress after which retrying ends. Default 600,000 (10 min). */
  retryForMs?: number;
}

export interface TransferOptions extends ServiceOptions {
  /** Requests in flight, 1 … 1,024. Default 64. */
  workers?: number;
  /** Stops the transfer: no write begins after it fires, and what was moved stays resumable. */
  signal?: AbortSignal;
  onEvent?: TransferListener;
}

export interface DownloadOptions extends TransferOptions {
  snapshotId: string;
  /** Path of a file or block device, `-` for stdout, or a stream that receives the image in order. */
  target: string | Writable;
  /** Overwrite an existing file or a device that is not blank. Never one that is in use. */
  force?: boolean;
}

export interface DownloadResult extends TransferProgress {
  snapshotId: string;
  /** Volume size in bytes. */
  volumeSize: number;
  blockSize: number;
}
