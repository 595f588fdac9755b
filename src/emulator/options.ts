/** The emulator's public types: its options and its interface. */

import type { FaultRule } from './faults.ts';

/** A secret for SigV4 verification; a session token makes the key a temporary one. */
export interface EmulatorSecret {
  secretAccessKey: string;
  sessionToken?: string;
}

/** Limits in requests per second. Default: none. */
export interface EmulatorQuotas {
  /** GetSnapshotBlock, per snapshot and per account. */
  getPerSecond?: number;
  /** PutSnapshotBlock, per snapshot and per account. */
  putPerSecond?: number;
  /** ListSnapshotBlocks and ListChangedBlocks together, per account. */
  listPerSecond?: number;
  /** StartSnapshot, and separately CompleteSnapshot, per account. */
  startPerSecond?: number;
  /** Pending snapshots per account. */
  maxPending?: number;
}

export interface EmulatorOptions {
  /** Default: 0, any free port. */
  port?: number;
  /** Default: 127.0.0.1. */
  host?: string;
  /** Where snapshots are stored, locked while in use. Default: a temporary directory that `close()` removes. */
  dataDirectory?: string;
  faults?: readonly FaultRule[];
  /** Default: us-east-1. If given, signatures must be scoped to it and KMS keys must be in it. */
  region?: string;
  /** Default: 111122223333. */
  accountId?: string;
  /** By access key ID. If given, signatures are verified; otherwise they only have to be present and well-formed. */
  credentials?: Readonly<Record<string, EmulatorSecret>>;
  /** Bytes: a power of two from 512 to 67,108,864. Default: 524,288. */
  blockSize?: number;
  /** Upper limit of entries on a page, in addition to the request's. Default: 10,000. */
  pageSize?: number;
  /** Number of empty pages, each with a NextToken, before every page with entries; `true` is 1. Default: 0. */
  emptyPages?: number | boolean;
  /** How long a snapshot stays pending after CompleteSnapshot. Default: 0. */
  completionDelayMs?: number;
  /** Overrides the request's Timeout. */
  pendingTimeoutMs?: number;
  /** Default: 7 days. */
  blockTokenLifeMs?: number;
  /** Default: 60 minutes. */
  pageTokenLifeMs?: number;
  /** How long puts and DescribeSnapshots after a start, and lists after a completion, return "not found". Default: 0. */
  notVisibleMs?: number;
  /** The account's setting "encryption by default". Default: false. */
  encryptedByDefault?: boolean;
  /** The account's key ARNs. Default: any well-formed ARN is accepted. */
  knownKmsKeys?: readonly string[];
  quotas?: EmulatorQuotas;
  /** Wait this long before processing each request. Default: 0. */
  delayMs?: number;
  /** Called once for each request, when its reply has been sent or the emulator gives it up. */
  onRequest?: (record: RequestRecord) => void;
  /** Key and certificate in PEM; enables HTTPS. */
  tls?: { key: string; cert: string };
  /** The clock: milliseconds since 1970. Default: `Date.now`. */
  now?: () => number;
}

/** One request and its outcome, without secrets and tokens. */
export interface RequestRecord {
  /** 1, 2, 3 … in order of arrival. */
  readonly seq: number;
  /** Arrival, in milliseconds since 1970 by the emulator's clock. */
  readonly time: number;
  /** For example `GetSnapshotBlock` or `DescribeSnapshots`; `Unknown` if no operation matches. */
  readonly operation: string;
  readonly snapshotId?: string;
  readonly blockIndex?: number;
  readonly method: string;
  /** Path and query; block and page tokens are replaced by `***`. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** The same for all requests on one connection. */
  readonly connectionId: number;
  /** HTTP status; 0 before the reply, and if none is sent. */
  readonly status: number;
  /** Type of the error, for example `ValidationException`. */
  readonly errorType?: string;
  /** The `Reason` member of the error. */
  readonly errorReason?: string;
  /** Types of the injected faults, joined by `+`. */
  readonly fault?: string;
}

export type SnapshotStatus = 'pending' | 'completed' | 'error';

/** A snapshot's state. */
export interface SnapshotView {
  readonly id: string;
  readonly status: SnapshotStatus;
  /** Why the status is `error`. */
  readonly statusMessage?: string;
  readonly volumeSizeGiB: number;
  readonly blockSize: number;
  /** Blocks put into this snapshot, ascending, without those of its parent. */
  readonly writtenBlocks: number[];
  readonly tags: Readonly<Record<string, string>>;
  readonly description: string;
  readonly parentSnapshotId?: string;
  readonly encrypted: boolean;
  readonly kmsKeyArn?: string;
}

/** A snapshot to create without requests. */
export interface PutSnapshotOptions {
  /** Default: a new ID. */
  id?: string;
  /** 1 … 65,536. */
  volumeSizeGiB: number;
  /**
   * The blocks by index, each of the block size; or the path of an image file, of which every block that is not all
   * zeros is written, so that written zeros count as holes.
   */
  blocks: ReadonlyMap<number, Uint8Array> | Readonly<Record<number, Uint8Array>> | string;
  /** The parent snapshot, which provides the blocks not given here. */
  parent?: string;
  /** Blocks of the parent that are absent from this snapshot. */
  gone?: readonly number[];
  encrypted?: boolean;
  /** Default: `completed`. */
  status?: SnapshotStatus;
  tags?: Readonly<Record<string, string>>;
  description?: string;
}

/** A running emulator. */
export interface Emulator {
  readonly url: string;
  readonly port: number;
  readonly region: string;
  /** The latest requests, at least 100,000, in order of arrival. */
  readonly log: readonly RequestRecord[];
  /** The logged requests, optionally of one operation only. */
  requests(operation?: string): RequestRecord[];
  clearLog(): void;
  /** Replaces all fault rules and resets their counters. @throws ColdsnapError (`usage`) for an invalid rule */
  setFaults(rules: readonly FaultRule[]): void;
  /**
   * Resolves with the `count`-th request (default: the first) for which `predicate` holds, logged requests included.
   * The predicate is called when a request arrives and again when its status is known. Rejects when the emulator closes.
   */
  waitForRequest(predicate: (record: RequestRecord) => boolean, count?: number): Promise<RequestRecord>;
  /** Creates a snapshot without requests and resolves with its ID. */
  putSnapshot(options: PutSnapshotOptions): Promise<string>;
  snapshot(id: string): SnapshotView | undefined;
  /**
   * Path of a sparse image of the snapshot's volume, including its ancestors' blocks. Do not write to it. In an encrypted
   * snapshot each block that is not listed begins with 512 random bytes.
   */
  readImage(id: string): Promise<string>;
  deleteSnapshot(id: string): void;
  close(): Promise<void>;
}
