/**
 * The boundary to the C++ addon: validates every argument, so that C++ receives only good values, and gives each
 * function its types. Promises settle off the main thread's work; a failed system call rejects with an Error that
 * carries `code`, `errno` (negative), `syscall` and, where known, `path`, like the errors of Node's own fs module.
 *
 * [contract; the implementation replaces the declarations below]
 */

/** What the kernel says of a block device (BLKGETSIZE64, BLKSSZGET, BLKPBSZGET, BLKROGET). Sizes in bytes. */
export interface DeviceFacts {
  sizeBytes: number;
  logicalBlockSize: number;
  physicalBlockSize: number;
  readOnly: boolean;
}

/** Inode identity as stat() saw it before the open. */
export interface Inode {
  dev: bigint;
  ino: bigint;
  rdev: bigint;
}

/**
 * What to do with a received block that is all zeros:
 * `skip` leaves the range alone (a hole on a fresh file), `zero` makes the range read as zeros by the zeroing ladder,
 * `write` writes the zeros like any data.
 */
export type ZeroPolicy = 'skip' | 'zero' | 'write';

/** What became of one received block. `mismatch`: the checksum was wrong and nothing was written. */
export type BlockOutcome = 'written' | 'zero' | 'mismatch';

/** Ways to make a range read as zeros, best first; `write` always works. */
export type ZeroMethod = 'blkzeroout' | 'zero-range' | 'punch-hole' | 'write';

export interface BlockWrite {
  /** The data; its length is the block's length. */
  data: Uint8Array;
  /** Byte offset in the file, 0 … 2^53-1. */
  offset: number;
  /** The SHA-256 (32 bytes) the data must have. */
  digest: Uint8Array;
}

export interface BlockRead {
  /** Buffer to fill completely. */
  data: Uint8Array;
  offset: number;
}

/** One block read: its SHA-256, whether it is all zeros, and how many bytes the file had (fewer at its end; the rest is zero-filled). */
export interface BlockReadResult {
  digest: Uint8Array;
  zero: boolean;
  bytesRead: number;
}
