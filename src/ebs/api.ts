/**
 * The EBS direct APIs as the rest of the program uses them. The SDK's implementation is wrapped in decorators for block
 * transport, pacing and retries. Every combination passes the same contract tests.
 *
 * Every method rejects with a {@link ColdsnapError} whose class says whether a retry can help; the class is `aborted`
 * when `signal` has fired. Sizes are in bytes unless the name says GiB.
 */

/** Form of a snapshot ID. Lenient, because AWS reserves the right to change the length of IDs. */
export const SNAPSHOT_ID = /^snap-[0-9A-Za-z]{1,59}$/;

/** Identifies one block of a snapshot in requests. */
export interface BlockReference {
  readonly blockIndex: number;
  /** Opaque, valid for 7 days, different in every list. Never logged. */
  readonly blockToken: string;
}

export interface ListPage {
  readonly requestId?: string | undefined;
  /** 1 … 65,536 GiB. */
  readonly volumeSizeGiB: number;
  /** Bytes. 524,288 on AWS; emulators may differ. */
  readonly blockSize: number;
  /** Present when more pages follow, even if this one is empty. Valid for 60 minutes. */
  readonly nextToken?: string;
}

export interface BlockPage extends ListPage {
  readonly blocks: readonly BlockReference[];
}

/** A block that differs between two snapshots. Without `secondBlockToken` it is absent from the second: all zeros. */
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

/** Where a page starts and how long it may be. A page token takes precedence over a starting index. */
export interface ListPosition {
  readonly pageToken?: string;
  readonly startingBlockIndex?: number;
  /** 100 … 10,000. Default 10,000. */
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

/** A received block. Its length was checked against headers and buffer; its checksum was not. */
export interface ReceivedBlock {
  readonly dataLength: number;
  /** The service's SHA-256 of the data, 32 bytes. */
  readonly digest: Uint8Array;
  readonly requestId?: string | undefined;
}

export interface PutBlockRequest {
  readonly snapshotId: string;
  readonly blockIndex: number;
  /** One whole block. */
  readonly data: Uint8Array;
  /** SHA-256 of `data`, 32 bytes. Sent as the checksum and as the signed payload hash. */
  readonly digest: Uint8Array;
}

export interface SnapshotTag {
  readonly key: string;
  readonly value: string;
}

export interface StartRequest {
  readonly volumeSizeGiB: number;
  /** Repeating a request with the same token returns the same snapshot. At most 64 ASCII characters. */
  readonly clientToken: string;
  readonly description?: string;
  readonly tags?: readonly SnapshotTag[];
  readonly parentSnapshotId?: string;
  readonly encrypted?: boolean;
  readonly kmsKeyArn?: string;
  /** Minutes without a put after which the service cancels the snapshot, 10 … 4,320. Default 60. */
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
  /** Number of different blocks put. */
  readonly changedBlocksCount: number;
  /** SHA-256 of the concatenated digests of all blocks put, ascending by index (LINEAR), 32 bytes. */
  readonly linearDigest?: Uint8Array;
}

export interface EbsDirectApi {
  listSnapshotBlocks(request: ListBlocksRequest, options?: CallOptions): Promise<BlockPage>;
  listChangedBlocks(request: ListChangedBlocksRequest, options?: CallOptions): Promise<ChangedBlockPage>;
  /**
   * Receives one block into `buffer`, whose length is the snapshot's block size. Resolves when all bytes have arrived and
   * headers and length were checked; the caller must check the digest.
   */
  getSnapshotBlock(
    request: GetBlockRequest,
    buffer: Uint8Array,
    options?: CallOptions,
  ): Promise<ReceivedBlock>;
  putSnapshotBlock(request: PutBlockRequest, options?: CallOptions): Promise<void>;
  startSnapshot(request: StartRequest, options?: CallOptions): Promise<StartedSnapshot>;
  /** Resolves with the snapshot's state in the reply: `pending`, `completed` or `error`. */
  completeSnapshot(request: CompleteRequest, options?: CallOptions): Promise<string>;
  /** Closes idle connections. */
  close(): void;
}
