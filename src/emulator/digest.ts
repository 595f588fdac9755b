/** SHA-256 of the data of a block or of another body. */

import { createHash } from 'node:crypto';
import { isZero } from '../native/index.ts';

let zeros = { length: 0, digest: sha256(new Uint8Array(0)) };

/** The digest of zeros is remembered: many volumes have little else. */
export function digestOf(data: Uint8Array): Buffer {
  if (!isZero(data)) return sha256(data);
  if (data.length !== zeros.length) zeros = { length: data.length, digest: sha256(data) };
  return zeros.digest;
}

function sha256(data: Uint8Array): Buffer {
  return createHash('sha256').update(data).digest();
}
