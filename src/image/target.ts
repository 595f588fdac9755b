/** Where a snapshot's bytes go. Code outside src/image knows only these interfaces, never which kind of target it has. */

import type { BlockRead, BlockReadResult } from '../native/index.ts';
import type { WarningCode } from '../warning-codes.ts';
import type { ByteRange } from './extents.ts';

/** Something that the user should know about a target that was restored all the same. */
export interface Notice {
  readonly code: WarningCode;
  readonly message: string;
}

/** A block that has arrived, checked or not. */
export interface TargetBlock {
  /** Block-size bytes, from the buffer pool. */
  readonly data: Uint8Array;
  /** Byte offset in the volume. */
  readonly offset: number;
  /** The SHA-256 (32 bytes) that the service gave for the data. */
  readonly digest: Uint8Array;
  /** The data were compared with the digest already, for another target. Default false. */
  readonly verified?: boolean;
}

/**
 * The outcome for an arrived block. `written`, `zero`: the range now holds the right bytes (not synced yet). `held`: the
 * data are right, but staged until commit (the first 2 MiB and the last MiB of a device's volume). `mismatch`: the data do
 * not have the digest, and nothing was written.
 */
export type BlockOutcome = 'written' | 'zero' | 'held' | 'mismatch';

export type { Geometry } from '../geometry.ts';

import type { Geometry } from '../geometry.ts';

/**
 * Life of a target: `openTarget()` → `checkOverwrite()` (before any request) → `prepare()` (first change to the target) →
 * any mix of `writeBlocks`, `zero` and `sync` → `commit()` → `close()`; or `abandon()` at any point, which closes too.
 */
export interface ImageTarget {
  /** As the user named it; `-` for stdout. */
  readonly path: string;
  /** The name for messages: the path, or `stdout`. */
  readonly label: string;
  /** Bytes that fit, where that is limited. */
  readonly sizeBytes?: number | undefined;
  /** Resuming, or undefined where no resume is possible (streams). */
  readonly resumable: ResumableTarget | undefined;
  /**
   * Refuses to overwrite an existing file or a device that is not blank, unless `force`, or unless a usable journal says
   * that this very restore began here (`resuming`).
   * @throws ColdsnapError class `refused`
   */
  checkOverwrite(options: { force: boolean; resuming: boolean }): Promise<void>;
  /**
   * Checks that the volume fits (the error names both sizes), then makes the target writable: creates and sizes the
   * partial file, or zeroes the start and the end of a device's volume, syncs them and has the kernel forget old
   * partitions.
   *
   * With `resume` it opens the work of an earlier run and changes nothing yet; when that proves to be something else,
   * call it again without `resume` to start over (for a device only after `checkOverwrite` without `resuming`).
   * `committing` is the earlier run's `commitStamp()`, if its commit had begun: a device's start and end may be written then.
   * `instance` is the earlier run's `inode()`.
   * @throws ColdsnapError `TARGET_TOO_SMALL`, `TARGET_BUSY`, `DEVICE_IN_USE`, or `RESUME_MISMATCH` when there is nothing to resume; in
   * each case nothing was touched
   */
  prepare(
    geometry: Geometry,
    options: {
      readonly resume: boolean;
      readonly committing?: string | undefined;
      readonly instance?: string | undefined;
    },
  ): Promise<void>;
  /**
   * Checks each block and puts the good ones in place, in one thread-pool call. Resolves with one outcome per block; the
   * buffers are the caller's again then. A stream resolves when the last block of the batch had its turn (or at once,
   * keeping copies, when one of its blocks is a `mismatch` and has to come again): all lower blocks must be in flight.
   */
  writeBlocks(blocks: readonly TargetBlock[]): Promise<BlockOutcome[]>;
  /**
   * Makes a range read as zeros (a no-op where it already must). Offset and length are multiples of the block size.
   * A stream resolves when the range had its turn, so do not wait for it before fetching lower blocks.
   */
  zero(offset: number, length: number): Promise<void>;
  /**
   * Resolves when everything written so far is on stable storage and the target's name still refers to what was written.
   */
  sync(): Promise<void>;
  /**
   * Makes the image whole and durable: sync, staged blocks or rename, directory sync, partition table. Does not close.
   * Resolves with what the user should know, such as old partitions that a program keeps open.
   */
  commit(): Promise<readonly Notice[]>;
  /** Closes after `commit()`. */
  close(): Promise<void>;
  /**
   * Stops without finishing, and closes; after `commit()` it only closes. With `keepForResume` it keeps what was written
   * for a later run, else it removes a partial file. Never throws.
   */
  abandon(options: { keepForResume: boolean }): Promise<void>;
}

/** A target that holds one snapshot and is made into another. */
export interface InPlaceTarget extends ImageTarget {
  readonly resumable: ResumableTarget;
  /** Where its bytes are until {@link prepare}, and after an interruption. */
  readonly contents: string;
  /** @throws ColdsnapError `TARGET_HOLDS_NO_BASE`, `TARGET_TOO_SMALL`, unless it can hold both volumes, and a file just the first */
  checkSizes(baseVolumeSize: number, volumeSize: number): Promise<void>;
  /** Whether it may be that of an interrupted run, so that a sample proves nothing. */
  mayBeUnfinished(blockSize: number): Promise<boolean>;
}

/** Lets a later run resume an interrupted restore. */
export interface ResumableTarget {
  /** The file that holds what is done until the image is whole; undefined for a device. */
  readonly partialPath: string | undefined;
  /** Where the journal belongs, and the identity that it must name to be trusted. */
  readonly journal: { readonly path: string; readonly identity: string };
  /** Block 0, with others at the start and the end, reads as zeros until commit, because its data are staged until then. */
  readonly stagesHead: boolean;
  /** The ranges of a volume that are staged until commit, in bytes, ascending. */
  stagedRanges(geometry: Geometry): ByteRange[];
  /** After `EIO` or `ENOSPC` the blocks written last may be there only in part, although their writes succeeded. */
  readonly losesLastWrites: boolean;
  /**
   * Reads back the target with the SHA-256 of each block. With `pastCache` it drops the cached pages first, so that the
   * data come from the medium; only clean pages can be dropped, so it syncs before, unless what is read was `synced`.
   */
  readBlocks(
    reads: readonly BlockRead[],
    options: { readonly pastCache: boolean; readonly synced?: boolean },
  ): Promise<BlockReadResult[]>;
  /** The parts of a range of bytes, ascending, that may hold anything but zeros: all but the holes of a file. */
  dataRanges(start: number, end: number): AsyncGenerator<ByteRange, void, undefined>;
  /** Distinguishes the partial file from a copy put in its place between two runs; undefined for devices. */
  inode(): Promise<string | undefined>;
  /**
   * A stamp for the journal, taken before `commit()`. After a kill during the commit it tells whether a file already had
   * its final name, or whether only the commit has written to a device since. Empty where the kernel does not count writes.
   */
  commitStamp(): Promise<string>;
  /**
   * Whether an earlier run's `commit()` gave the file its final name. Changes nothing. Always false for devices.
   * @param stamp the earlier run's `commitStamp()`
   */
  isCommitted(stamp: string): Promise<boolean>;
  /**
   * Whether an earlier run's `commit()` was complete except that the file's name was not durable yet; makes it so. Call
   * it before `checkOverwrite`. Always false for devices, where a later run commits again.
   * @param stamp the earlier run's `commitStamp()`
   */
  finishCommit(stamp: string): Promise<boolean>;
}
