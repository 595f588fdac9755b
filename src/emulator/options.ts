/** What the emulator can be told, and what it shows of itself. */

import type { FaultRule } from './faults.ts';

/** A secret for SigV4 verification; a session token makes the key a temporary one. */
export interface EmulatorSecret {
  secretAccessKey: string;
  sessionToken?: string;
}

/** Requests per second; each is off unless given. */
export interface EmulatorQuotas {
  /** GetSnapshotBlock, per snapshot and per account. */
  getPerSecond?: number;
  /** PutSnapshotBlock, per snapshot and per account. */
  putPerSecond?: number;
  /** ListSnapshotBlocks and ListChangedBlocks together, per account. */
  listPerSecond?: number;
  /** StartSnapshot, and separately CompleteSnapshot, per account. */
  startPerSecond?: number;
  /** Pending snapshots per account at any time. */
  maxPending?: number;
}

export interface EmulatorOptions {
  /** 0 = any free port (default). */
  port?: number;
  /** 127.0.0.1 unless given. */
  host?: string;
  /** Where snapshots persist; a temporary directory, removed by `close()`, unless given. */
  dataDirectory?: string;
  faults?: readonly FaultRule[];
  /** us-east-1 unless given; when given, signatures must be scoped to it. */
  region?: string;
  /** 111122223333 unless given. */
  accountId?: string;
  /** By access key ID. When given, SigV4 signatures are verified; else they only have to be there and well-formed. */
  credentials?: Readonly<Record<string, EmulatorSecret>>;
  /** Bytes, a power of two from 512; 524,288 unless given. */
  blockSize?: number;
  /** At most so many entries on a page, whatever the request asks for. */
  pageSize?: number;
  /** So many empty pages (with a NextToken) before every page with entries; `true` is 1. */
  emptyPages?: number | boolean;
  /** How long a completed snapshot stays pending; 0 unless given. */
  completionDelayMs?: number;
  /** Replaces the request's Timeout (minutes), for tests. */
  pendingTimeoutMs?: number;
  /** 7 days unless given. */
  blockTokenLifeMs?: number;
  /** 60 minutes unless given. */
  pageTokenLifeMs?: number;
  /** For so long, puts and DescribeSnapshots after a start, and lists after completion, say "not found". */
  notVisibleMs?: number;
  /** The account's "encryption by default". */
  encryptedByDefault?: boolean;
  /** Key ARNs the account has; any well-formed ARN will do unless given. */
  knownKmsKeys?: readonly string[];
  quotas?: EmulatorQuotas;
  /** PEM texts; serve https. */
  tls?: { key: string; cert: string };
  /** Milliseconds since 1970; `Date.now` unless given. */
  now?: () => number;
}

/** One request as it arrived, and what became of it. Secrets and tokens are left out. */
export interface RequestRecord {
  /** 1, 2, 3 … in order of arrival. */
  readonly seq: number;
  /** Milliseconds since 1970, by the emulator's clock. */
  readonly time: number;
  /** `GetSnapshotBlock`, `DescribeSnapshots` …; `Unknown` when no operation has that address. */
  readonly operation: string;
  readonly snapshotId?: string;
  readonly blockIndex?: number;
  readonly method: string;
  /** With the query, block and page tokens blotted out. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Requests on the same connection have the same number. */
  readonly connectionId: number;
  /** 0 until the reply is decided, and for good when there was none. */
  readonly status: number;
  /** `ValidationException` … when the reply was an error. */
  readonly errorType?: string;
  /** The `Reason` member of the error. */
  readonly errorReason?: string;
  /** Types of the faults applied, joined by `+`. */
  readonly fault?: string;
}

export type SnapshotStatus = 'pending' | 'completed' | 'error';

/** A snapshot, seen without the wire. */
export interface SnapshotView {
  readonly id: string;
  readonly status: SnapshotStatus;
  /** Why the status is `error`. */
  readonly statusMessage?: string;
  readonly volumeSizeGiB: number;
  readonly blockSize: number;
  /** Blocks put into this snapshot itself, ascending; its parent's are not among them. */
  readonly writtenBlocks: number[];
  readonly tags: Readonly<Record<string, string>>;
  readonly description: string;
  readonly parentSnapshotId?: string;
  readonly encrypted: boolean;
  readonly kmsKeyArn?: string;
}

/** A snapshot to be there without having been uploaded. */
export interface PutSnapshotOptions {
  /** A new one unless given. */
  id?: string;
  /** 1 … 65,536. */
  volumeSizeGiB: number;
  /**
   * The blocks by index, each of the block size, or the path of an image file, of which every block that is not all zeros
   * is written (a hole and written zeros cannot be told apart here).
   */
  blocks: ReadonlyMap<number, Uint8Array> | Readonly<Record<number, Uint8Array>> | string;
  /** Blocks not given keep this snapshot's contents. */
  parent?: string;
  /** Blocks of the parent that this snapshot no longer has. */
  gone?: readonly number[];
  encrypted?: boolean;
  /** `completed` unless given. */
  status?: SnapshotStatus;
  tags?: Readonly<Record<string, string>>;
  description?: string;
}

/** A running emulator. */
export interface Emulator {
  readonly url: string;
  readonly port: number;
  /** The latest requests (at least 100,000 are kept), in order of arrival. */
  readonly log: readonly RequestRecord[];
  /** The logged requests, of one operation when it is named. */
  requests(operation?: string): RequestRecord[];
  clearLog(): void;
  /** Replaces all fault rules; their counters start again. @throws ColdsnapError (`usage`) for a rule that is none */
  setFaults(rules: readonly FaultRule[]): void;
  /**
   * Resolves with the `count`-th (1 unless given) request for which `predicate` holds, among those already logged and those to come.
   * The predicate sees a record when it arrives and again when its reply is decided. Rejects when the emulator closes.
   */
  waitForRequest(predicate: (record: RequestRecord) => boolean, count?: number): Promise<RequestRecord>;
  /** Resolves with the snapshot's ID. */
  putSnapshot(options: PutSnapshotOptions): Promise<string>;
  snapshot(id: string): SnapshotView | undefined;
  /** Path of a sparse image of the snapshot's volume, its parent's contents included. Not to be written to. */
  readImage(id: string): Promise<string>;
  deleteSnapshot(id: string): void;
  close(): Promise<void>;
}

/** Options with every default filled in. */
export interface Settings {
  readonly region: string;
  readonly regionGiven: boolean;
  readonly accountId: string;
  readonly credentials: Readonly<Record<string, EmulatorSecret>> | undefined;
  readonly blockSize: number;
  readonly pageSize: number;
  readonly emptyPages: number;
  readonly completionDelayMs: number;
  readonly pendingTimeoutMs: number | undefined;
  readonly blockTokenLifeMs: number;
  readonly pageTokenLifeMs: number;
  readonly notVisibleMs: number;
  readonly encryptedByDefault: boolean;
  readonly knownKmsKeys: readonly string[] | undefined;
  readonly quotas: EmulatorQuotas;
  readonly now: () => number;
}

/** Fills in the defaults. @throws RangeError for a value out of range */
export function resolveSettings(options: EmulatorOptions): Settings {
  const blockSize = options.blockSize ?? 524_288;
  if (!Number.isInteger(Math.log2(blockSize)) || blockSize < 512 || blockSize > 2 ** 26) {
    throw new RangeError(`blockSize must be a power of two from 512 to 67108864, not ${blockSize}`);
  }
  const pageSize = options.pageSize ?? 10_000;
  if (!Number.isInteger(pageSize) || pageSize < 1) {
    throw new RangeError(`pageSize must be a whole number from 1, not ${pageSize}`);
  }
  return {
    region: options.region ?? 'us-east-1',
    regionGiven: options.region !== undefined,
    accountId: options.accountId ?? '111122223333',
    credentials: options.credentials,
    blockSize,
    pageSize,
    emptyPages: Number(options.emptyPages ?? 0),
    completionDelayMs: options.completionDelayMs ?? 0,
    pendingTimeoutMs: options.pendingTimeoutMs,
    blockTokenLifeMs: options.blockTokenLifeMs ?? 7 * 24 * 3_600_000,
    pageTokenLifeMs: options.pageTokenLifeMs ?? 3_600_000,
    notVisibleMs: options.notVisibleMs ?? 0,
    encryptedByDefault: options.encryptedByDefault ?? false,
    knownKmsKeys: options.knownKmsKeys,
    quotas: options.quotas ?? {},
    now: options.now ?? Date.now,
  };
}
