/** The start of a device, staged in memory until commit. */
import { allocateSlab, type BlockWrite, writeBlocks } from '../../native/index.ts';
import type { BlockOutcome, Geometry, UnverifiedBlock } from '../target.ts';

/**
 * Bytes to stage at least: one block of the real service. They hold what makes a disk look like one, so smaller blocks,
 * as an emulator may have, are staged together.
 */
const headSize = 512 * 1024;

export class StagedHead {
  /** Bytes from the start of the device; whole blocks. */
  readonly length: number;
  readonly #memory: Uint8Array;
  /** Blocks that have arrived and are not zeros, by offset. */
  readonly #blocks = new Map<number, BlockWrite>();

  constructor({ volumeSize, blockSize }: Geometry) {
    this.length = Math.min(Math.ceil(headSize / blockSize) * blockSize, volumeSize);
    this.#memory = new Uint8Array(allocateSlab(this.length));
  }

  covers(block: UnverifiedBlock): boolean {
    return block.offset < this.length;
  }

  /** Whether all of the head is zeros, as the device already is there. */
  get isEmpty(): boolean {
    return this.#blocks.size === 0;
  }

  /** Checks blocks of the head and keeps copies of the good ones. Resolves with one outcome per block. */
  async stage(blocks: readonly UnverifiedBlock[]): Promise<BlockOutcome[]> {
    const { outcomes } = await writeBlocks(-1, [...blocks], { zero: 'skip', zeroMethod: 'write' });
    return blocks.map(({ data, offset, digest }, i) => {
      const outcome = outcomes[i]!;
      if (outcome === 'mismatch') return outcome;
      this.#blocks.delete(offset);
      if (outcome === 'zero') return outcome;
      const copy = this.#memory.subarray(offset, offset + data.length);
      copy.set(data);
      this.#blocks.set(offset, { data: copy, offset, digest: Uint8Array.from(digest) });
      return 'held';
    });
  }

  /** Writes the staged blocks, block 0 last. `path` is the name for messages. */
  async write(fd: number, path: string): Promise<void> {
    const blocks = [...this.#blocks.values()].sort((a, b) => b.offset - a.offset);
    const { outcomes } = await writeBlocks(fd, blocks, { zero: 'write', zeroMethod: 'write' });
    if (outcomes.includes('mismatch'))
      throw new Error(`the block staged for the start of ${path} was damaged in memory`);
  }
}
