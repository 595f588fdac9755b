/** A block of zeros and its digest. */
import { createHash } from 'node:crypto';
import type { BlockOutcome, ZerosOutcome } from './block.ts';

export interface ZeroBlock {
  /** Not to be written to. */
  readonly data: Uint8Array;
  /** SHA-256, 32 bytes. */
  readonly digest: Uint8Array;
}

/** @param blockSize in bytes */
export function zeroBlock(blockSize: number): ZeroBlock {
  const data = new Uint8Array(blockSize);
  return { data, digest: createHash('sha256').update(data).digest() };
}

/** The outcome of a block that is a hole, by that of its range of zeros. */
export const outcomeOfHole = ({ transferred, skipped }: ZerosOutcome): BlockOutcome =>
  transferred > 0 ? 'zero' : skipped > 0 ? 'skipped' : 'kept';
