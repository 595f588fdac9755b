/** A block of zeros and its digest. */
import { createHash } from 'node:crypto';

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
