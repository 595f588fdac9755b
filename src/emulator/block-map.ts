/** A set of block indexes: a bitmap whose empty chunks take no memory. */

const CHUNK_BYTES = 4096;
const CHUNK_BLOCKS = CHUNK_BYTES * 8;

export class BlockMap {
  readonly #chunks: (Uint8Array | undefined)[] = [];
  #count = 0;

  /** Number of blocks in the set. */
  get count(): number {
    return this.#count;
  }

  has(block: number): boolean {
    const chunk = this.#chunks[Math.floor(block / CHUNK_BLOCKS)];
    if (chunk === undefined) return false;
    const bit = block % CHUNK_BLOCKS;
    return ((chunk[bit >> 3] as number) & (1 << (bit & 7))) !== 0;
  }

  /** Adds a block; returns false if it was already in the set. */
  add(block: number): boolean {
    const number = Math.floor(block / CHUNK_BLOCKS);
    let chunk = this.#chunks[number];
    if (chunk === undefined) {
      chunk = new Uint8Array(CHUNK_BYTES);
      this.#chunks[number] = chunk;
    }
    const bit = block % CHUNK_BLOCKS;
    const byte = chunk[bit >> 3] as number;
    const mask = 1 << (bit & 7);
    if ((byte & mask) !== 0) return false;
    chunk[bit >> 3] = byte | mask;
    this.#count++;
    return true;
  }

  /** The first block of the set that is ≥ `from`, or -1. */
  next(from: number): number {
    let number = Math.floor(from / CHUNK_BLOCKS);
    let bit = from % CHUNK_BLOCKS;
    for (; number < this.#chunks.length; number++, bit = 0) {
      const chunk = this.#chunks[number];
      if (chunk === undefined) continue;
      let rest = (chunk[bit >> 3] as number) & (0xff << (bit & 7));
      for (let at = bit >> 3; ; ) {
        if (rest !== 0) return number * CHUNK_BLOCKS + at * 8 + (31 - Math.clz32(rest & -rest));
        at++;
        if (at === CHUNK_BYTES) break;
        rest = chunk[at] as number;
      }
    }
    return -1;
  }

  *[Symbol.iterator](): Generator<number> {
    for (let block = this.next(0); block !== -1; block = this.next(block + 1)) yield block;
  }

  /** The byte of the bitmap that holds `block` (bit `block & 7` of byte `block >> 3`), as stored in a file. */
  byteOf(block: number): number {
    const chunk = this.#chunks[Math.floor(block / CHUNK_BLOCKS)];
    return chunk?.[(block % CHUNK_BLOCKS) >> 3] ?? 0;
  }

  /** Adds the bits of a bitmap that starts at block `firstChunk` × 32,768. */
  addBitmap(firstChunk: number, bytes: Uint8Array): void {
    for (let offset = 0; offset < bytes.length; offset += CHUNK_BYTES) {
      const piece = bytes.subarray(offset, offset + CHUNK_BYTES);
      const count = countBits(piece);
      if (count === 0) continue;
      const chunk = new Uint8Array(CHUNK_BYTES);
      chunk.set(piece);
      this.#chunks[firstChunk + offset / CHUNK_BYTES] = chunk;
      this.#count += count;
    }
  }
}

function countBits(bytes: Uint8Array): number {
  let count = 0;
  for (let byte of bytes) for (; byte !== 0; byte &= byte - 1) count++;
  return count;
}
