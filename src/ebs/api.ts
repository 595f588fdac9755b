/**
 * The service as the rest of the program sees it. Implementations are decorators of one another: the SDK client at the
 * bottom, then retries, pacing and logging around it. Every implementation passes the same contract tests.
 *
 * Every method rejects with a {@link ColdsnapError} whose class says whether asking again can help, and rejects with
 * class `aborted` when `signal` fires. Sizes are bytes unless the name says GiB.
 */

/** Lenient, as AWS asks readers of IDs to be. */
export const SNAPSHOT_ID = /^snap-[0-9A-Za-z]{1,59}$/;

/** What it takes to fetch one block. */
export interface BlockReference {
  readonly blockIndex: number;
  /** Opaque, valid for 7 days, new at every listing. Never logged. */
  readonly blockToken: string;
}

export interface ListPage {
  /** 1 … 65,536 GiB. */
  readonly volumeSizeGiB: number;
  /** 524,288 on AWS; emulators may differ. */
  readonly blockSize: number;
  /** Present when there is more, even when this page is empty. Valid for 60 minutes. */
  readonly nextToken?: string;
}

export interface BlockPage extends ListPage {
  readonly blocks: readonly BlockReference[];
}

/** A block that differs between two snapshots. No `secondBlockToken`: gone in the second, so it reads as zeros there. */
export interface ChangedBlock {
  readonly blockIndex: number;
  readonly firstBlockToken?: string;
  readonly secondBlockToken?: string;
}

export interface ChangedBlockPage extends ListPage {
  readonly changedBlocks: readonly ChangedBlock[];
}

export interface CallOptions {
  readonly signal?: AbortSignal;
}

/** Where to start and how much to list; a page token wins over a starting index. */
export interface ListPosition {
  readonly pageToken?: string;
  readonly startingBlockIndex?: number;
  /** 100 … 10,000; 10,000 unless given. */
  readonly maxResults?: number;
}

export interface ListBlocksRequest extends ListPosition {
  readonly snapshotId: string;
}

export interface ListChangedBlocksRequest extends ListPosition {
  readonly firstSnapshotId?: string;
  readonly secondSnapshotId: string;
}

export interface GetBlockRequest extends BlockReference {
  readonly snapshotId: string;
}

/** A received block: its length was checked against headers and buffer, its checksum was not. */
export interface ReceivedBlock {
  readonly dataLength: number;
  /** The service's SHA-256 of the data, 32 bytes. */
  readonly digest: Uint8Array;
}

export interface PutBlockRequest {
  readonly snapshotId: string;
  readonly blockIndex: number;
  /** Exactly one block. */
  readonly data: Uint8Array;
  /** SHA-256 of data, 32 bytes; both the checksum header and the signed payload hash. */
  readonly digest: Uint8Array;
}

export interface SnapshotTag {
  readonly key: string;
  readonly value: string;
}

export interface StartRequest {
  readonly volumeSizeGiB: number;
  /** Same token and parameters: same snapshot. At most 64 ASCII characters. */
  readonly clientToken: string;
  readonly description?: string;
  readonly tags?: readonly SnapshotTag[];
  readonly parentSnapshotId?: string;
  readonly encrypted?: boolean;
  readonly kmsKeyArn?: string;
  /** Minutes without a put after which the service cancels the snapshot: 10 … 4,320, 60 by default. */
  readonly timeoutMinutes?: number;
}

export interface StartedSnapshot {
  readonly snapshotId: string;
  readonly blockSize: number;
  readonly volumeSizeGiB: number;
  readonly status: string;
  readonly kmsKeyArn?: string;
  readonly sseType?: string;
  readonly parentSnapshotId?: string;
}

export interface CompleteRequest {
  readonly snapshotId: string;
  /** Distinct blocks put. */
  readonly changedBlocksCount: number;
  /** SHA-256 over the raw digests of all blocks put, in ascending order of index (LINEAR), 32 bytes. */
  readonly linearDigest?: Uint8Array;
}

export interface EbsDirectApi {
  listSnapshotBlocks(request: ListBlocksRequest, options?: CallOptions): Promise<BlockPage>;
  listChangedBlocks(request: ListChangedBlocksRequest, options?: CallOptions): Promise<ChangedBlockPage>;
  /**
   * Receives one block into `buffer`, whose length is the snapshot's block size. Resolves once headers and length were
   * checked and every byte has arrived; checking the digest is the caller's next step.
   */
  getSnapshotBlock(
    request: GetBlockRequest,
    buffer: Uint8Array,
    options?: CallOptions,
  ): Promise<ReceivedBlock>;
  putSnapshotBlock(request: PutBlockRequest, options?: CallOptions): Promise<void>;
  startSnapshot(request: StartRequest, options?: CallOptions): Promise<StartedSnapshot>;
  /** Resolves with the snapshot's state as the reply gave it (`pending`, `completed` or `error`). */
  completeSnapshot(request: CompleteRequest, options?: CallOptions): Promise<string>;
  /** Closes idle connections. */
  close(): void;
}
