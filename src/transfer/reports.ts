/** The options and results of the functions that only report: nothing is written, at the service or here. */
import type { DiskLayout } from '../image/layout/layout.ts';
import type { TransferCost } from './cost.ts';
import type { ByteRange, ClientOptions, DeletePendingOptions } from './options.ts';

export type { DeviceDescription, ListDevicesOptions } from '../image/device/list.ts';
export type { Contents, DescribedPartition, DiskLayout } from '../image/layout/layout.ts';
export type { ImageLayout } from '../image/layout/open-layout.ts';
export type { TransferCost };

export interface BlockCount {
  readonly blocks: number;
  /** `blocks` times the block size. */
  readonly bytes: number;
}

/** Options of the functions that read a list of blocks. */
export interface ListingOptions extends ClientOptions {
  /**
   * Divides the volume into at most this many equal parts for `map`, from 1. Default: no map.
   */
  mapCells?: number | undefined;
}

export interface InfoOptions extends ListingOptions {
  snapshotId: string;
  /** Gets each contiguous range of blocks that the snapshot holds, ascending. The list waits for what it returns. */
  onRange?: ((range: ByteRange) => void | Promise<void>) | undefined;
  /**
   * Also reads the partition table and what is in each partition: one to 16 blocks, each of which costs a request and
   * needs the permission ebs:GetSnapshotBlock. Where that fails, a warning says so. Default false.
   */
  readLayout?: boolean | undefined;
}

export interface InfoResult {
  snapshotId: string;
  /** Bytes. */
  volumeSize: number;
  /** Bytes. */
  blockSize: number;
  /** Blocks that the snapshot holds; the rest of the volume reads as zeros. */
  blocks: number;
  /** Bytes in these blocks. */
  bytes: number;
  /** Contiguous ranges of blocks. */
  ranges: number;
  /** The cost of a full download. */
  cost: TransferCost;
  /** EC2's state of the snapshot. This and the following are absent where EC2 cannot be asked. */
  state?: string;
  encrypted?: boolean;
  description?: string;
  tags?: Readonly<Record<string, string>>;
  startTime?: Date;
  /** How much of each part of the volume the snapshot holds, 0 … 1; with `mapCells`. */
  map?: number[];
  /** With `readLayout`, if it could be read. */
  layout?: DiskLayout;
}

/** The plan and the cost of a transfer. */
export interface DryRun extends TransferCost {
  readonly dryRun: true;
  readonly operation: 'download' | 'upload' | 'copy';
  /** The snapshot to copy, and its region. */
  readonly source?: { readonly snapshotId: string; readonly region: string };
  /** The region of the copy. */
  readonly region?: string;
  /** The snapshot to download; that of an earlier upload or copy, which would be resumed. */
  readonly snapshotId?: string;
  /** Absent for the caller's stream and for a copy. */
  readonly path?: string;
  /** Bytes. */
  readonly volumeSize: number;
  /** Blocks that would be fetched or sent. An upper limit where only their contents decide. */
  readonly blocks: number;
  /** Bytes in these blocks. */
  readonly bytes: number;
  /** The contents of the source were not read, so fewer blocks may have to be sent: those that differ from a base, that are not zeros, or that a stream has. */
  readonly atMost?: true;
  /** Blocks that are fetched besides, at most, because the target was not compared with the base. */
  readonly blocksToProve?: number;
  /** Bytes that an earlier run has done, if they prove to be unchanged. */
  readonly bytesResumed: number;
  /** A sentence that names what would be overwritten. */
  readonly overwrites?: string;
}

/** How the blocks of two snapshots differ. */
export type BlockChange = 'changed' | 'gone';

export interface DiffOptions extends ListingOptions {
  /** The snapshot to start from. */
  first: string;
  /** A later or an earlier snapshot of the same volume. */
  second: string;
  /**
   * Gets each contiguous range of blocks that differ, ascending: `gone` where only the first snapshot has them, which
   * become zeros, else `changed`. The list waits for what it returns.
   */
  onRange?: ((change: BlockChange, range: ByteRange) => void | Promise<void>) | undefined;
}

export interface DiffResult {
  first: string;
  second: string;
  /** Bytes of the second snapshot's volume. */
  volumeSize: number;
  /** Bytes. */
  blockSize: number;
  /** Blocks that both have. The service compares writes: their contents may be the same. */
  changed: BlockCount;
  /** Blocks that only the second has. */
  added: BlockCount;
  /** Blocks that only the first has, and that lie in the second's volume. */
  gone: BlockCount;
  /**
   * The cost of an incremental download that turns the first into the second, without the blocks that prove its target, at
   * most 129.
   */
  cost: TransferCost;
  /** How much of each part of the volume differs, 0 … 1; with `mapCells`. */
  map?: number[];
}

/** Options of a deletion that may be only a plan. */
export interface PlannedDeletionOptions extends DeletePendingOptions {
  /** Delete nothing: `deleted` are those that would be. Default false. */
  dryRun?: boolean | undefined;
}
