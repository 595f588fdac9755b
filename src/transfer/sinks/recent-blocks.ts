/**
 * The blocks that were written last. After a write to a device has failed they cannot be trusted: a loop device whose
 * backing file system is full reports success for a write that it stored in part (Linux, lo_complete_rq), and only later
 * ones fail.
 */
import type { Claim } from '../journal/prove.ts';

/** Bytes of a SHA-256. */
const DIGEST = 32;

export class RecentBlocks {
  readonly #count: number;
  /** A ring, allocated once: objects for each block would cost 2 % of a download in garbage collection. */
  readonly #blocks: Float64Array;
  readonly #digests: Uint8Array;
  /** Whether the block is all zeros, and has no digest. */
  readonly #zero: Uint8Array;
  #added = 0;

  /** @param count blocks that are remembered */
  constructor(count: number) {
    this.#count = count;
    this.#blocks = new Float64Array(count);
    this.#digests = new Uint8Array(count * DIGEST);
    this.#zero = new Uint8Array(count);
  }

  /** @param digest undefined for zeros */
  add(block: number, digest: Uint8Array | undefined): void {
    const slot = this.#added++ % this.#count;
    this.#blocks[slot] = block;
    this.#zero[slot] = digest === undefined ? 1 : 0;
    if (digest !== undefined) this.#digests.set(digest, slot * DIGEST);
  }

  /** Takes the blocks that were written last back from what was synced. */
  takeBack(synced: Claim): void {
    for (let slot = 0; slot < Math.min(this.#added, this.#count); slot++) {
      const block = this.#blocks[slot]!;
      if (!synced.done.has(block)) continue;
      synced.done.remove(block, block + 1);
      const digest = this.#digests.subarray(slot * DIGEST, (slot + 1) * DIGEST);
      if (this.#zero[slot] === 0) synced.digests.remove(block, digest);
    }
  }
}
