/** Blocks as they arrive from the service, and expectations about them. */
import { strict as assert } from 'node:assert';
import { createHash } from 'node:crypto';
import { ColdsnapError } from '../../src/errors.ts';
import type { ArrivedBlock } from '../../src/image/target.ts';
import { allocateSlab } from '../../src/native/index.ts';

export const KiB = 1024;
export const MiB = 1024 * KiB;

export function sha256Of(data: Uint8Array): Uint8Array {
  return createHash('sha256').update(data).digest();
}

/** Memory that direct I/O takes. */
export function aligned(length: number): Uint8Array {
  return new Uint8Array(allocateSlab(length));
}

/** Block `index`, its bytes made from the seed; 0 gives zeros. */
export function arrived(index: number, blockSize: number, seed = index + 1): ArrivedBlock {
  const data = aligned(blockSize);
  if (seed !== 0) for (let i = 0; i < blockSize; i++) data[i] = (seed * 31 + i * 7 + (i >> 8)) | 1;
  return { data, offset: index * blockSize, digest: sha256Of(data) };
}

/** A block whose data do not have its digest. */
export function damaged(index: number, blockSize: number): ArrivedBlock {
  const block = arrived(index, blockSize);
  block.data[blockSize - 1]! ^= 1;
  return block;
}

/** The volume that these blocks make. */
export function volumeOf(blocks: readonly ArrivedBlock[], volumeSize: number): Buffer {
  const volume = Buffer.alloc(volumeSize);
  for (const { data, offset } of blocks) volume.set(data, offset);
  return volume;
}

/** Asserts that two images are the same without printing megabytes when they are not. */
export function assertSameBytes(actual: Uint8Array, expected: Uint8Array): void {
  assert.equal(actual.length, expected.length, 'the length differs');
  if (Buffer.compare(actual, expected) === 0) return;
  const at = expected.findIndex((byte, i) => byte !== actual[i]);
  assert.fail(`byte ${at} is ${actual[at]} and should be ${expected[at]}`);
}

/** Asserts that it fails with this code, a hint or a cause, and a message that matches. */
export async function assertFails(
  promise: Promise<unknown>,
  code: string,
  message?: RegExp,
): Promise<ColdsnapError> {
  const error = await promise.then(
    () => assert.fail(`it should have failed with ${code}`),
    (reason: unknown) => reason,
  );
  if (!(error instanceof ColdsnapError)) throw error;
  assert.equal(error.code, code, error.message);
  if (message !== undefined) assert.match(error.message, message);
  return error;
}
