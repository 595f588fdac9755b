/**
 * The LINEAR checksum of a snapshot (SHA-256 over the raw digests of all its blocks in ascending order), computed while
 * blocks finish out of order. Holds only the digests that are ahead of the first unfinished block, and no more of them
 * than its window; at 32 bytes a block a whole volume's would be 4 GiB.
 */
import { Sha256State } from '../../native/index.ts';
import { RangeSet } from '../engine/range-set.ts';

/** The digest as of a block: all blocks before it are in it. A journal can hold it. */
export interface LinearPrefix {
  /** First block that is not accounted for. */
  readonly block: number;
  /** Blocks whose digests went in. */
  readonly count: number;
  /** The hash's state. */
  readonly state: Uint8Array;
  /** Ranges finished beyond `block`, in any order. Without them, those blocks have to be read again. */
  readonly ahead?: readonly FinishedRange[];
}

/** Blocks `start` … `end - 1`: one that was put, with its digest, or some that are not put. */
interface FinishedRange {
  readonly start: number;
  readonly end: number;
  readonly digest: Uint8Array | undefined;
}

/** Blocks that may be finished ahead of one that is late; at about 100 bytes each, below 2 MiB. */
const WINDOW = 16_384;

export class LinearDigest {
  readonly #hash: Sha256State;
  #next: number;
  #count: number;
  /** Finished ranges ahead of the prefix, by their first block. */
  readonly #ahead = new Map<number, { end: number; digest: Uint8Array | undefined }>();
  #waiting: { block: number; resume: () => void }[] = [];

  constructor(from?: LinearPrefix) {
    this.#hash = from === undefined ? new Sha256State() : Sha256State.import(from.state);
    this.#next = from?.block ?? 0;
    this.#count = from?.count ?? 0;
    for (const { start, ...rest } of from?.ahead ?? []) this.#ahead.set(start, rest);
  }

  /**
   * Waits until `block` is within the window, so that one late block cannot make the digests ahead of it pile up.
   * @returns undefined where it is, as nearly always
   */
  waitForWindow(block: number): Promise<void> | undefined {
    if (block < this.#next + WINDOW) return undefined;
    return new Promise<void>((resume) => this.#waiting.push({ block, resume }));
  }

  /** A block was put. */
  put(block: number, digest: Uint8Array): void {
    this.#add(block, block + 1, digest);
  }

  /** Blocks `start` … `end - 1` are not put. */
  skip(start: number, end: number): void {
    this.#add(start, end, undefined);
  }

  #add(start: number, end: number, digest: Uint8Array | undefined): void {
    // A resumed run reports again the ranges that an earlier one skipped.
    if (end <= this.#next) return;
    this.#ahead.set(Math.max(start, this.#next), { end, digest });
    for (let range = this.#ahead.get(this.#next); range !== undefined; range = this.#ahead.get(this.#next)) {
      this.#ahead.delete(this.#next);
      if (range.digest !== undefined) {
        this.#hash.update(range.digest);
        this.#count++;
      }
      this.#next = range.end;
    }
    if (this.#waiting.length === 0) return;
    const ready = this.#waiting.filter((waiter) => waiter.block < this.#next + WINDOW);
    this.#waiting = this.#waiting.filter((waiter) => waiter.block >= this.#next + WINDOW);
    for (const waiter of ready) waiter.resume();
  }

  /** Lets everybody who waits for room go, because the upload ends. */
  release(): void {
    for (const waiter of this.#waiting) waiter.resume();
    this.#waiting = [];
  }

  /** Where the contiguous prefix ends, and the digest up to there. */
  prefix(): LinearPrefix {
    const ahead = [...this.#ahead].map(([start, rest]) => ({ start, ...rest }));
    return { block: this.#next, count: this.#count, state: this.#hash.export(), ahead };
  }

  /** All blocks that are accounted for. */
  finished(): RangeSet {
    const ahead = [...this.#ahead].map(([start, { end }]) => [start, end] as const);
    return new RangeSet([[0, this.#next], ...ahead]);
  }

  /** The digest of everything so far, 32 bytes. */
  digest(): Uint8Array {
    return this.#hash.digest();
  }
}
