/**
 * The blocks that were written last. After a write to a device has failed they cannot be trusted: a loop device whose
 * backing file system is full reports success for a write that it stored in part (Linux, lo_complete_rq), and only later
 * ones fail.
 */
import type { Claim } from '../journal/prove.ts';

/** Blocks that are remembered. */
const LATEST = 4_096;

interface Recent {
  readonly block: number;
  /** Undefined for zeros. */
  readonly digest: Uint8Array | undefined;
}

export class RecentBlocks {
  /** The oldest first. */
  #latest: Recent[] = [];

  /** @param digest undefined for zeros */
  add(block: number, digest: Uint8Array | undefined): void {
    this.#latest.push({ block, digest });
    if (this.#latest.length > 2 * LATEST) this.#latest = this.#latest.slice(-LATEST);
  }

  /** Takes the `count` blocks that were written last back from what was synced. */
  takeBack(synced: Claim, count: number): void {
    for (const { block, digest } of this.#latest.slice(-count)) {
      if (!synced.done.has(block)) continue;
      synced.done.remove(block, block + 1);
      if (digest !== undefined) synced.digests.remove(block, digest);
    }
  }
}
