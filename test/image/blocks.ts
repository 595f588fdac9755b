/** Blocks as they arrive from the service, and expectations about them. */
import { strict as assert } from 'node:assert';
import { createHash } from 'node:crypto';
import { ColdsnapError } from '../../src/errors.ts';
import type { ImageSource } from '../../src/image/source.ts';
import type { ImageTarget, TargetBlock } from '../../src/image/target.ts';
import { allocateSlab, type BlockRead } from '../../src/native/index.ts';

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
export function arrived(index: number, blockSize: number, seed = index + 1): TargetBlock {
  const data = aligned(blockSize);
  if (seed !== 0) for (let i = 0; i < blockSize; i++) data[i] = (seed * 31 + i * 7 + (i >> 8)) | 1;
  return { data, offset: index * blockSize, digest: sha256Of(data) };
}

/** A block whose data do not have its digest. */
export function damaged(index: number, blockSize: number): TargetBlock {
  const block = arrived(index, blockSize);
  block.data[blockSize - 1]! ^= 1;
  return block;
}

/** The volume that these blocks make. */
export function volumeOf(blocks: readonly TargetBlock[], volumeSize: number): Buffer {
  const volume = Buffer.alloc(volumeSize);
  for (const { data, offset } of blocks) volume.set(data, offset);
  return volume;
}

/** Restores blocks and zeroes the rest of the volume, as a download does. */
export async function restore(
  target: ImageTarget,
  blocks: readonly TargetBlock[],
  volumeSize: number,
  blockSize: number,
): Promise<void> {
  await target.prepare({ volumeSize, blockSize }, { resume: false });
  const listed = new Set(blocks.map(({ offset }) => offset));
  for (let offset = 0; offset < volumeSize; offset += blockSize) {
    if (!listed.has(offset)) await target.zero(offset, blockSize);
  }
  const outcomes = await target.writeBlocks(blocks);
  assert.ok(!outcomes.includes('mismatch'));
  await target.commit();
  await target.close();
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

/** Reads all blocks of a source, in batches, and checks what is said of each. */
export async function readAll(source: ImageSource, length: number, blockSize: number): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for (let offset = 0; offset < length; offset += 3 * blockSize) {
    const reads: BlockRead[] = [];
    for (let at = offset; at < Math.min(offset + 3 * blockSize, length); at += blockSize) {
      const data = aligned(blockSize);
      data.fill(0xee);
      reads.push({ data, offset: at });
    }
    for (const [i, { digest, zero }] of (await source.readBlocks(reads)).entries()) {
      const { data } = reads[i]!;
      assert.deepEqual(Buffer.from(digest), sha256Of(data));
      assert.equal(
        zero,
        data.every((byte) => byte === 0),
      );
      parts.push(data);
    }
  }
  return Buffer.concat(parts);
}
