/** Where an upload's bytes come from. The pipeline knows only this interface; it never asks what kind of source it has. */
import type { BlockRead, BlockReadResult } from '../native/index.ts';

/**
 * A run of blocks. `hole`: nothing was ever written there, and it reads as zeros; not the same as zeros that somebody wrote.
 */
export interface SourceExtent {
  /** Bytes; a multiple of the block size. */
  readonly offset: number;
  /** Bytes; a multiple of the block size, above 0. The last block may reach past the end of the source. */
  readonly length: number;
  readonly kind: 'data' | 'hole';
}

/** Life of a source: `openSource()` → `ready()` → `extents` and `readBlocks` → `checkUnchanged()` → `close()`, at any point. */
export interface ImageSource {
  /** As the user named it; `-` for stdin. */
  readonly path: string;
  readonly kind: 'file' | 'device' | 'stream';
  /** Size in bytes; of a stream the size that was declared, of which it may give less. */
  readonly sizeBytes: number;
  /**
   * Whether every block must be asked for once, from 0 without gaps. A block settles when its turn has come, so all lower
   * ones must be under way.
   */
  readonly sequential: boolean;
  /**
   * Where this source's journal belongs, or undefined where no resume is possible (streams). The identity changes when
   * the source does; it is written into the journal and must match before one is trusted.
   */
  readonly journal: { readonly path: string; readonly identity: string } | undefined;
  /**
   * Resolves when there is something to read: of a stream, when its first bytes have come.
   * @throws ColdsnapError `SOURCE_EMPTY`
   */
  ready(): Promise<void>;
  /**
   * The source from 0 to its end as runs that alternate between data and holes, ascending and without gaps. All is data
   * unless holes were asked for; a block with any data in it is data.
   */
  extents(blockSize: number): AsyncIterable<SourceExtent>;
  /**
   * Fills each buffer, in one hop off the main thread: what lies past the end of the source is filled with zeros, and
   * `bytesRead` says how much was not. From a stream, a `bytesRead` of 0 means that it has ended.
   * @throws ColdsnapError `SOURCE_CHANGED` when the source is shorter or longer than it was
   */
  readBlocks(reads: readonly BlockRead[]): Promise<BlockReadResult[]>;
  /**
   * To be asked when all was read and before the snapshot is completed: that the source still is what was opened (size,
   * modification time, inode), and that a stream had no more than declared, for which it waits for the stream's end.
   * @throws ColdsnapError `SOURCE_CHANGED`, `SOURCE_TOO_LONG`
   */
  checkUnchanged(): Promise<void>;
  /** Stops reading and closes. Never throws. */
  close(): Promise<void>;
}
