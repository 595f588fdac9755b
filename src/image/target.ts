import type { BlockRead, BlockReadResult } from '../native/index.ts';

/** Where a snapshot's bytes go. The pipeline knows only this interface; it never asks what kind of target it has. */

/** A block that has arrived but was not yet checked. */
export interface UnverifiedBlock {
  /** Block-size bytes, from the buffer pool. */
  readonly data: Uint8Array;
  /** Byte offset in the volume. */
  readonly offset: number;
  /** The SHA-256 (32 bytes) that the service gave for the data. */
  readonly digest: Uint8Array;
}

/**
 * What became of an arrived block. `written` and `zero`: settled, the range now holds the right bytes (not yet synced).
 * `held`: right, but kept back until commit (a device's block 0; with tiny blocks the first few). `mismatch`: the data do not have the digest;
 * nothing was written.
 */
export type BlockOutcome = 'written' | 'zero' | 'held' | 'mismatch';

export interface Geometry {
  /** Volume size in bytes. */
  readonly volumeSize: number;
  /** Block size in bytes. */
  readonly blockSize: number;
}

/**
 * Life of a target: `open…Target()` → `checkOverwrite()` (no network yet) → `prepare()` (first change to the target) →
 * any mix of `writeBlocks`, `zero` and `sync` → `commit()`, or `abandon()` at any point. `abandon()` after `commit()`
 * only closes.
 */
export interface ImageTarget {
  /** As the user named it; `-` for stdout. */
  readonly path: string;
  readonly kind: 'file' | 'device' | 'stream';
  /**
   * Where this target's journal belongs, or undefined where no resume is possible (streams).
   * The identity is written into the journal and must match before one is trusted.
   */
  readonly journal: { readonly path: string; readonly identity: string } | undefined;
  /**
   * Refuses what must not be overwritten (existing file, device that is not blank) unless `force`, or unless a fitting
   * journal says that this very restore had begun here (`resuming`).
   * @throws ColdsnapError class `refused`
   */
  checkOverwrite(options: { force: boolean; resuming: boolean }): Promise<void>;
  /**
   * Checks that the volume fits (naming both sizes), then makes the target ready to be written: creates and sizes the
   * partial file, or zeroes a device's block 0 and syncs it.
   *
   * With `resume` it opens what an earlier run left and changes nothing yet; when that proves to be something else, call
   * it again without `resume` to start over (for a device only after `checkOverwrite` without `resuming`). `committing`
   * is what the earlier run's `commitStamp()` gave, if its commit had begun: a device's first block may be there then.
   * @throws ColdsnapError `TARGET_TOO_SMALL`, `TARGET_BUSY` or, when there is nothing to go on with, `RESUME_MISMATCH`;
   * in each case nothing was touched
   */
  prepare(geometry: Geometry, options: { resume: boolean; committing?: string | undefined }): Promise<void>;
  /**
   * Checks each block and puts the good ones in place, in one hop off the main thread. One verdict a block. The buffers
   * are the caller's again when it settles. A stream settles a batch when its last block has had its turn (or at once,
   * keeping copies, when one of its blocks is a `mismatch` and has to come again): all lower blocks must be under way.
   */
  writeBlocks(blocks: readonly UnverifiedBlock[]): Promise<BlockOutcome[]>;
  /**
   * Makes a range read as zeros (a no-op where it already must). Offsets and lengths are multiples of the block size.
   * On a stream it settles when the range has had its turn, so do not wait for it before fetching lower blocks.
   */
  zero(offset: number, length: number): Promise<void>;
  /**
   * Reads back what the target holds, with its SHA-256; `pastCache` lets go of the cached pages first, so that it comes
   * from the medium. For proofs before a resume and for verifying. Absent where it cannot be read (streams).
   */
  readBlocks?(reads: readonly BlockRead[], options: { pastCache: boolean }): Promise<BlockReadResult[]>;
  /**
   * Returns when everything written so far is on stable storage, and what was written to is still what the name of the
   * target will lead to.
   */
  sync(): Promise<void>;
  /**
   * Tells what is written to from a copy that takes its place between two runs. Absent where the identity in `journal`
   * does, or nothing is kept.
   */
  instance?(): Promise<string>;
  /**
   * What tells, after a kill in the middle of `commit()`, how far that had come: that a file had its final name already,
   * or that nothing but the commit has written to a device since. Kept in the journal before `commit()`. Absent where
   * nothing is kept (streams).
   */
  commitStamp?(): Promise<string>;
  /**
   * Whether an earlier run's `commit()` had come so far that only making its name durable was left, which this does. To
   * be asked before `checkOverwrite`. Absent where a later run simply commits again (devices).
   * @param mark what that run's `commitStamp()` gave
   */
  finishCommit?(mark: string): Promise<boolean>;
  /** Makes the image whole and durable: sync, held block or rename, directory sync, partition table. Then closes. */
  commit(): Promise<void>;
  /**
   * Stops without finishing and closes. `keepForResume`: leaves what was written for a later run; otherwise a partial
   * file is removed. Never throws.
   */
  abandon(options: { keepForResume: boolean }): Promise<void>;
}
