/** Where an upload's bytes come from. Code outside src/image knows only this interface, never which kind of source it has. */

import type { BlockComparison, BlockRead, BlockReadResult, ReceivedBlock } from '../native/index.ts';
import type { WarningCode } from '../warning-codes.ts';
import type { ByteRange } from './extents.ts';
import type { SourceJournal } from './source-journal.ts';
import type { UnfinishedImage } from './unfinished-image.ts';

/** A warning as code and message. */
export type SourceWarning = readonly [code: WarningCode, message: string];

/** A block that was read. `hole`: the source's map says that nothing was ever written there, and it is zeros. */
export interface SourceBlock extends BlockReadResult {
  readonly hole?: boolean;
}

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
   * Where this source's journal belongs, or undefined where no resume is possible (streams). The identity tells this file
   * or device from others, whatever its path; {@link stamp} and digests tell whether it has changed.
   */
  readonly journal: SourceJournal | undefined;
  /** SHA-256 of the map of holes; another map gives another snapshot of the same source. */
  readonly holeMapDigest?: string | undefined;
  /** Finds out whether an interrupted restore may have left it. Undefined for a stream. */
  readonly unfinished?: () => Promise<UnfinishedImage | undefined>;
  /** Warnings to give before the upload. */
  readonly warnings: readonly SourceWarning[];
  /**
   * Resolves when there is something to read: for a stream, when its first 512 bytes have arrived, or its end.
   * @throws ColdsnapError `SOURCE_EMPTY`, `SOURCE_IS_CONTAINER`
   */
  ready(): Promise<void>;
  /**
   * The source from 0 to its end as runs that alternate between data and holes, ascending and without gaps. All is data
   * unless holes were requested; a block with any data in it is data, and so is a hole that only a map claims: it has to be
   * read.
   */
  extents(blockSize: number): AsyncGenerator<SourceExtent, void, undefined>;
  /**
   * Fills each buffer, in one thread-pool call; past the end of the source with zeros, which `bytesRead` does not count.
   * Every block of a stream must be requested once, from 0 without gaps; it resolves when the block had its turn, so all
   * lower ones must be in flight; a `bytesRead` of 0 means that it has ended.
   * @param options.hash whether to compute digests, which are empty otherwise. Default true
   * @throws ColdsnapError `SOURCE_CHANGED` when the source is shorter or longer than it was, `HOLE_MAP_WRONG` for data in what
   *   the map of holes calls a hole
   */
  readBlocks(reads: readonly BlockRead[], options?: { readonly hash: boolean }): Promise<SourceBlock[]>;
  /**
   * Compares received blocks with the source in one thread-pool call, and with their digests first. Undefined for a stream.
   * @param buffer for what the source has, as large as a block
   * @throws ColdsnapError `SOURCE_CHANGED` when the source is shorter or longer than it was
   */
  readonly compareBlocks?: (
    blocks: readonly ReceivedBlock[],
    buffer: Uint8Array,
  ) => Promise<BlockComparison[]>;
  /**
   * The parts of a range, ascending, that may hold anything but zeros: all of it, except for the holes that the file system
   * reports. A range past the end is a hole.
   */
  dataRanges(start: number, end: number): AsyncGenerator<ByteRange, void, undefined>;
  /**
   * Flushes what others have written, and returns a stamp: while it is the same, also in a later run, no byte of the source
   * was written. Undefined where nothing proves that: streams, file systems and devices whose writers leave no trace, a file
   * that is being written.
   */
  stamp(): Promise<string | undefined>;
  /**
   * Checks, after everything was read and before the snapshot is completed, that the source still is what was opened (size,
   * change time or count of writes, inode) and that a stream has no more than declared, for which it waits for the stream's
   * end.
   * @returns a warning where the source was written and the user allowed that
   * @throws ColdsnapError `SOURCE_CHANGED`, `SOURCE_TOO_LONG`
   */
  checkUnchanged(): Promise<SourceWarning | undefined>;
  /** Stops reading and closes. Never throws. */
  close(): Promise<void>;
}
