/** The options and the result of a comparison. */
import type { Readable } from 'node:stream';
import type { TransferProgress } from './events.ts';
import type { TransferOptions } from './options.ts';

export interface VerifyOptions extends TransferOptions {
  snapshotId: string;
  /** Path of a file or block device, `-` for stdin, or a stream. */
  target: string | Readable;
  /** Compare this part of the blocks, evenly spread: above 0, at most 100. Default 100. */
  samplePercent?: number | undefined;
  /**
   * Compare only the blocks that the snapshot lists. A volume made from an encrypted snapshot holds random data elsewhere.
   * Default false: the rest must read as zeros.
   */
  skipUnlisted?: boolean | undefined;
}

/** Whole blocks, in bytes; `end` is not included. */
export interface ByteRange {
  start: number;
  end: number;
}

export interface VerifyResult extends TransferProgress {
  snapshotId: string;
  equal: boolean;
  /** Volume size in bytes. */
  volumeSize: number;
  blockSize: number;
  /** Bytes of the image that were compared; less than the volume for a sample or without unlisted blocks. */
  bytesCompared: number;
  /** The first 1,000 differing ranges, ascending, adjacent ones merged. */
  differences: ByteRange[];
  /** The number of all differing ranges. */
  differencesTotal: number;
  /** Whether some difference is where the snapshot lists no block. */
  differsUnlisted: boolean;
}
