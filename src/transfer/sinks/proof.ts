/** Proof that a target still holds what a journal says: a fair sample of digests, read back before it is trusted. */
import { createHash } from 'node:crypto';
import type { ResumableTarget } from '../../image/target.ts';
import type { RangeSet } from '../engine/range-set.ts';
import type { Sample } from '../journal/restore.ts';

/** Enough to notice that somebody else wrote to the target, few enough to read back in a moment. */
const SAMPLES = 64;

export class Samples {
  readonly #samples: Sample[];
  readonly #zeroDigest: Uint8Array;
  #seen: number;

  /** @param seen how many blocks the earlier samples were chosen from */
  constructor(blockSize: number, earlier: readonly Sample[] = [], seen = 0) {
    this.#samples = [...earlier];
    this.#zeroDigest = createHash('sha256').update(Buffer.alloc(blockSize)).digest();
    this.#seen = seen;
  }

  /** A block was written. Every block has the same chance to stay in the sample. */
  add(block: number, digest: Uint8Array): void {
    this.#seen++;
    const at = this.#samples.length < SAMPLES ? this.#samples.length : Math.floor(Math.random() * this.#seen);
    if (at < SAMPLES) this.#samples[at] = [block, Buffer.from(digest).toString('base64')];
  }

  /** Blocks `start` … `end - 1` read as zeros now. One of them is a candidate. */
  addZeros(start: number, end: number): void {
    this.add(start + Math.floor(Math.random() * (end - start)), this.#zeroDigest);
  }

  list(): Sample[] {
    return [...this.#samples];
  }

  /** Whether every sampled block, read past the cache, has its digest. */
  async match(target: ResumableTarget, blockSize: number): Promise<boolean> {
    const data = new Uint8Array(blockSize);
    for (const [block, digest] of this.#samples) {
      const found = await readBlock(target, block, data);
      if (found === undefined || Buffer.from(found.digest).toString('base64') !== digest) return false;
    }
    return true;
  }
}

/**
 * Blocks of the Rust tool's checkpoint that can be kept. It never synced what it wrote, so a block that now reads as
 * zeros may have been lost in a crash, and is fetched again.
 *
 * @param done is given the blocks to keep
 */
export async function keepLegacyBlocks(
  target: ResumableTarget,
  blocks: readonly number[],
  { volumeSize, blockSize }: { volumeSize: number; blockSize: number },
  done: RangeSet,
): Promise<void> {
  const data = new Uint8Array(blockSize);
  for (const block of blocks) {
    if (block >= volumeSize / blockSize) continue;
    const [found] = await target.readBlocks([{ data, offset: block * blockSize }], { pastCache: false });
    if (found !== undefined && !found.zero) done.add(block);
  }
}

/** Reads a block past the cache. */
export async function readBlock(target: ResumableTarget, block: number, data: Uint8Array) {
  const [found] = await target.readBlocks([{ data, offset: block * data.length }], { pastCache: true });
  return found;
}
