/**
 * Reads back what was written. Each sync reads, past the page cache, what was written since the last one, and compares it
 * with the digests that arrived; ranges of zeros must read as zeros. A block that differs is written once more.
 */
import { allocateSlab } from '../native/index.ts';
import { targetDamaged } from './messages/targets.ts';
import type { BlockOutcome, Geometry, ImageTarget, Notice, ResumableTarget, TargetBlock } from './target.ts';

/** A range that was written: a block with this digest, or zeros. */
interface Written {
  readonly offset: number;
  readonly length: number;
  readonly digest: Uint8Array | undefined;
}

/** Ranges that wait to be read back. More are read back at once, so that memory does not depend on how rare syncs are. */
const MOST_WAITING = 4_096;
/** Bytes in one read; a block may be larger. */
const READ_BYTES = 2 ** 23;
/** The same in blocks. */
const MOST_BLOCKS = 256;

interface ReadBackOptions {
  /** Writes the block at this offset again. */
  readonly rewrite: (offset: number) => Promise<void>;
  /** Called after each read, with the bytes of this sync. */
  readonly onRead?: (bytesDone: number, bytesTotal: number) => void;
}

export class VerifiedTarget implements ImageTarget {
  readonly path: string;
  readonly label: string;
  readonly sizeBytes: number | undefined;
  readonly resumable: ResumableTarget;
  readonly #target: ImageTarget;
  readonly #options: ReadBackOptions;
  #waiting: Written[] = [];
  /** Blocks that are written only by the commit, by offset. */
  readonly #held = new Map<number, Written>();
  #blockSize = 0;
  #syncing: Promise<void> = Promise.resolve();

  /** @param resumable of the target, which reads it back */
  constructor(target: ImageTarget, resumable: ResumableTarget, options: ReadBackOptions) {
    this.path = target.path;
    this.label = target.label;
    this.sizeBytes = target.sizeBytes;
    this.resumable = resumable;
    this.#target = target;
    this.#options = options;
  }

  checkOverwrite(options: { force: boolean; resuming: boolean }): Promise<void> {
    return this.#target.checkOverwrite(options);
  }

  async prepare(geometry: Geometry, options: Parameters<ImageTarget['prepare']>[1]): Promise<void> {
    await this.#target.prepare(geometry, options);
    this.#blockSize = geometry.blockSize;
  }

  async writeBlocks(blocks: readonly TargetBlock[]): Promise<BlockOutcome[]> {
    const outcomes = await this.#target.writeBlocks(blocks);
    for (const [at, { offset, data, digest }] of blocks.entries()) {
      const range = { offset, length: data.length, digest: undefined };
      const block = { ...range, digest: Uint8Array.from(digest) };
      if (outcomes[at] === 'written') this.#waiting.push(block);
      else if (outcomes[at] === 'zero') this.#waiting.push(range);
      else if (outcomes[at] === 'held') this.#held.set(offset, block);
    }
    if (this.#waiting.length >= MOST_WAITING) await this.sync();
    return outcomes;
  }

  async zero(offset: number, length: number): Promise<void> {
    await this.#target.zero(offset, length);
    if (length > 0) this.#waiting.push({ offset, length, digest: undefined });
    if (this.#waiting.length >= MOST_WAITING) await this.sync();
  }

  /**
   * Resolves when everything written so far is on stable storage and was read back.
   * @throws ColdsnapError `TARGET_DAMAGED`
   */
  sync(): Promise<void> {
    const next = this.#syncing.catch(() => {}).then(() => this.#sync());
    this.#syncing = next;
    // The caller gets the failure.
    next.catch(() => {});
    return next;
  }

  async #sync(): Promise<void> {
    const written = this.#waiting;
    this.#waiting = [];
    try {
      await this.#target.sync();
      const damaged = await this.#findDamaged(written);
      if (damaged.length === 0) return;
      for (const { offset, length, digest } of damaged) {
        if (digest === undefined) await this.#target.zero(offset, length);
        else await this.#options.rewrite(offset);
      }
      await this.#target.sync();
      await this.#check(damaged);
    } catch (error) {
      // Unverified ranges wait for a later sync.
      this.#waiting = [...written, ...this.#waiting];
      throw error;
    }
  }

  async commit(): Promise<readonly Notice[]> {
    await this.sync();
    const notices = await this.#target.commit();
    const held = [...this.#held.values()];
    if ((await this.#findDamaged(held)).length === 0) return notices;
    const again = await this.#target.commit();
    await this.#check(held);
    return again;
  }

  async #check(written: readonly Written[]): Promise<void> {
    const [first] = await this.#findDamaged(written);
    if (first !== undefined) throw targetDamaged(this, first.offset, first.offset + first.length);
  }

  /** Reads ranges past the cache. Resolves with what differs: blocks, and zeros a block at a time. */
  async #findDamaged(written: readonly Written[]): Promise<Written[]> {
    if (written.length === 0) return [];
    const perRead = Math.min(MOST_BLOCKS, Math.max(1, Math.floor(READ_BYTES / this.#blockSize)));
    const slab = allocateSlab(perRead * this.#blockSize);
    const bytesTotal = written.reduce((sum, { length }) => sum + length, 0);
    let bytesDone = 0;
    const damaged: Written[] = [];
    /** @param part at most as many blocks as the slab holds */
    const read = async (part: readonly Written[]) => {
      const reads = part.map(({ offset, length }, at) => ({
        data: new Uint8Array(slab, at * this.#blockSize, length),
        offset,
      }));
      const found = await this.resumable.readBlocks(reads, { pastCache: true, synced: true });
      for (const [at, { digest, zero, bytesRead }] of found.entries()) {
        const range = part[at]!;
        const right = range.digest === undefined ? zero : Buffer.compare(digest, range.digest) === 0;
        if (!right || bytesRead < range.length) damaged.push(range);
      }
    };
    const blocks = written.filter(({ digest }) => digest !== undefined);
    for (let at = 0; at < blocks.length; at += perRead) {
      const part = blocks.slice(at, at + perRead);
      await read(part);
      bytesDone += part.reduce((sum, { length }) => sum + length, 0);
      this.#options.onRead?.(bytesDone, bytesTotal);
    }
    for (const { offset, length, digest } of written) {
      if (digest !== undefined) continue;
      await this.#forEachRead(offset, length, perRead, read);
      bytesDone += length;
      this.#options.onRead?.(bytesDone, bytesTotal);
    }
    return damaged;
  }

  /** Calls `read` for the parts of a range of zeros that are no holes. */
  async #forEachRead(
    offset: number,
    length: number,
    perRead: number,
    read: (ranges: readonly Written[]) => Promise<void>,
  ): Promise<void> {
    const size = this.#blockSize;
    let next = offset;
    for await (const range of this.resumable.dataRanges(offset, offset + length)) {
      next = Math.max(next, Math.floor(range.start / size) * size);
      while (next < range.end) {
        const count = Math.min(perRead, Math.ceil((range.end - next) / size));
        const first = next;
        await read(
          Array.from({ length: count }, (_, at) => ({
            offset: first + at * size,
            length: size,
            digest: undefined,
          })),
        );
        next += count * size;
      }
    }
  }

  close(): Promise<void> {
    return this.#target.close();
  }

  abandon(options: { keepForResume: boolean }): Promise<void> {
    return this.#target.abandon(options);
  }
}
