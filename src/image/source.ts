/** Where an upload's bytes come from. Code outside src/image knows only this interface, never which kind of source it has. */
import type { BlockRead, BlockReadResult } from '../native/index.ts';

/**
 * A run of blocks. `hole`: nothing was ever written there, and it reads as zeros, unlike zeros that were written.
 */
export interface SourceExtent {
  /** Bytes; a multiple of the block size. */
  readonly offset: number;
  /** Bytes; a multiple of the block size, above 0. The last block may reach past the end of the source. */
  readonly length: number;
  readonly kind: 'data' | 'hole';
}

/**
 * Life of a source: `openSource()` → `ready()` → `extents` and `readBlocks` → `checkUnchanged()` → `close()`, which is
 * allowed at any point.
 */
export interface ImageSource {
  /** As the user named it; `-` for stdin. */
  readonly path: string;
  /** The name for messages: the path, or `stdin`. */
  readonly label: string;
  /** Size in bytes; for a stream the declared size, of which it may deliver less. */
  readonly sizeBytes: number;
  /**
   * Where this source's journal belongs, or undefined where no resume is possible (streams). The identity changes when
   * the source does; it is written into the journal and must match before a journal is trusted.
   */
  readonly journal: { readonly path: string; readonly identity: string } | undefined;
  /**
   * Resolves when there is something to read: for a stream, when its first bytes have arrived.
   * @throws ColdsnapError `SOURCE_EMPTY`
   */
  ready(): Promise<void>;
  /**
   * The source from 0 to its end as runs that alternate between data and holes, ascending and without gaps. All is data
   * unless holes were requested; a block with any data in it is data.
   */
  extents(blockSize: number): AsyncGenerator<SourceExtent, void, undefined>;
  /**
   * Fills each buffer, in one thread-pool call; past the end of the source with zeros, which `bytesRead` does not count.
   * Every block of a stream must be requested once, from 0 without gaps; it resolves when the block had its turn, so all
   * lower ones must be in flight; a `bytesRead` of 0 means that it has ended.
   * @throws ColdsnapError `SOURCE_CHANGED` when the source is shorter or longer than it was
   */
  readBlocks(reads: readonly BlockRead[]): Promise<BlockReadResult[]>;
  /**
   * Checks, after everything was read and before the snapshot is completed, that the source still is what was opened
   * (size, modification time, inode) and that a stream has no more than declared, for which it waits for the stream's end.
   * @throws ColdsnapError `SOURCE_CHANGED`, `SOURCE_TOO_LONG`
   */
  checkUnchanged(): Promise<void>;
  /** Stops reading and closes. Never throws. */
  close(): Promise<void>;
}
