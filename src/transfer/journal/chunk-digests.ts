/**
 * Digests of what a transfer has done, one for each chunk of blocks: what a journal needs to prove every byte that it
 * claims. Blocks finish in any order, so a chunk's digest is the sum of a hash for each of its blocks. A block of zeros
 * adds nothing: long gaps cost no time, and on reading back zeros have to be zeros.
 */

/** Words of 32 bits in a chunk's digest. */
const WORDS = 4;
/** Bytes of a chunk's digest. A change by accident stays unnoticed once in 2^128. */
const LENGTH = 4 * WORDS;
/** Most chunks, and so at most 256 KiB of digests, whatever the volume. */
const MAX_CHUNKS = 16_384;
/** Blocks in the smallest chunk: 8 MiB of the usual blocks. */
const MIN_CHUNK_BLOCKS = 16;

/** Blocks in a chunk of a volume: a power of two, so that there are at most 16,384 chunks. */
export function chunkBlocksFor(blockCount: number): number {
  let blocks = MIN_CHUNK_BLOCKS;
  while (blocks * MAX_CHUNKS < blockCount) blocks *= 2;
  return blocks;
}

export class ChunkDigests {
  readonly chunkBlocks: number;
  readonly #digests: Uint8Array;
  /** The same memory. */
  readonly #words: Uint32Array;

  /**
   * @param blockCount of the volume
   * @param saved what {@link save} returned in an earlier run
   */
  constructor(blockCount: number, saved = '') {
    this.chunkBlocks = chunkBlocksFor(blockCount);
    this.#digests = new Uint8Array(Math.ceil(blockCount / this.chunkBlocks) * LENGTH);
    this.#digests.set(Buffer.from(saved, 'base64').subarray(0, this.#digests.length));
    this.#words = new Uint32Array(this.#digests.buffer);
  }

  chunkOf(block: number): number {
    return Math.floor(block / this.chunkBlocks);
  }

  /** A block that is not all zeros is done. Must be called once a block. */
  add(block: number, digest: Uint8Array): void {
    this.#sum(block, digest, 1);
  }

  /** Takes back what {@link add} did. */
  remove(block: number, digest: Uint8Array): void {
    this.#sum(block, digest, -1);
  }

  /** The hash is of half the SHA-256 and the block's number, so that blocks which change places are noticed. */
  #sum(block: number, digest: Uint8Array, sign: 1 | -1): void {
    const first = this.chunkOf(block) * WORDS;
    for (let word = 0, at = 0; word < WORDS; word++, at += 4) {
      const part = digest[at]! | (digest[at + 1]! << 8) | (digest[at + 2]! << 16) | (digest[at + 3]! << 24);
      this.#words[first + word]! += sign * mix(part ^ Math.imul(WORDS * block + word, 0x9e3779b1));
    }
  }

  /** Whether the chunk holds nothing but zeros, as far as it is done. */
  isEmpty(chunk: number): boolean {
    return this.#of(chunk).every((byte) => byte === 0);
  }

  /** Whether the chunk has the same digest in both. */
  equal(chunk: number, other: ChunkDigests): boolean {
    return Buffer.from(this.#of(chunk)).equals(other.#of(chunk));
  }

  /** Forgets a chunk, none of whose blocks count as done any more. */
  clear(chunk: number): void {
    this.#of(chunk).fill(0);
  }

  /** The digests in base64, without the zeros at the end. */
  save(): string {
    let end = this.#digests.length;
    while (end > 0 && this.#digests[end - 1] === 0) end--;
    return Buffer.from(this.#digests.subarray(0, end)).toString('base64');
  }

  #of(chunk: number): Uint8Array {
    return this.#digests.subarray(chunk * LENGTH, (chunk + 1) * LENGTH);
  }
}

/** Spreads every bit over all 32, one to one: the last step of MurmurHash3. A second SHA-256 costs 15 times as much. */
function mix(word: number): number {
  let mixed = Math.imul(word ^ (word >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return mixed ^ (mixed >>> 16);
}
