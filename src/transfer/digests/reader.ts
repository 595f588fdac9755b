/** Reads a digest file that was checked as a whole. */
import { type BigIntStats, constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { isErrno, localError } from '../../image/errno.ts';
import { digestsChanged, digestsDamaged } from '../base-messages.ts';
import {
  computeSeal,
  DIGEST_BYTES,
  DIGESTS_PER_PAGE,
  type DigestHeader,
  decodeHeader,
  HEADER_BYTES,
  isDigestFile,
  PAGE_BYTES,
  sizeOfFile,
} from './format.ts';

const MOST_PAGES = 16;

export class DigestReader {
  readonly header: DigestHeader;
  /** SHA-256 of the file's contents, in hexadecimal. */
  readonly seal: string;
  readonly #path: string;
  readonly #file: FileHandle;
  readonly #stats: BigIntStats;
  readonly #pages = new Map<number, Promise<Buffer>>();

  private constructor(
    path: string,
    file: FileHandle,
    stats: BigIntStats,
    head: { header: DigestHeader; seal: string },
  ) {
    this.#path = path;
    this.#file = file;
    this.#stats = stats;
    this.header = head.header;
    this.seal = head.seal;
  }

  /**
   * Opens a digest file and checks all of it.
   * @returns undefined for a file that is not one, or that does not exist
   * @throws ColdsnapError class `integrity` for a damaged one, class `local`
   */
  static async open(path: string): Promise<DigestReader | undefined> {
    let file: FileHandle;
    try {
      file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    } catch (error) {
      // It is no image either.
      if (isErrno(error, 'ENOENT', 'ENOTDIR')) return undefined;
      throw localError(error, `open ${path}`, path);
    }
    try {
      const stats = await file.stat({ bigint: true });
      const head = Buffer.alloc(HEADER_BYTES);
      if (stats.isFile()) await file.read(head, 0, HEADER_BYTES, 0);
      if (!isDigestFile(head)) {
        await file.close();
        return undefined;
      }
      const decoded = decodeHeader(head);
      if (decoded === undefined || Number(stats.size) !== sizeOfFile(decoded.header))
        throw digestsDamaged(path);
      if ((await computeSeal(file, decoded.header)) !== decoded.seal) throw digestsDamaged(path);
      return new DigestReader(path, file, stats, decoded);
    } catch (error) {
      await file.close();
      throw localError(error, `read ${path}`, path);
    }
  }

  /** @returns undefined where the snapshot has no block, or one of zeros */
  async digest(block: number): Promise<Uint8Array | undefined> {
    const page = await this.#page(Math.floor(block / DIGESTS_PER_PAGE));
    const at = (block % DIGESTS_PER_PAGE) * DIGEST_BYTES;
    const digest = page.subarray(at, at + DIGEST_BYTES);
    return digest.every((byte) => byte === 0) ? undefined : digest;
  }

  #page(page: number): Promise<Buffer> {
    const loaded = this.#pages.get(page);
    if (loaded !== undefined) return loaded;
    const [oldest] = this.#pages.keys();
    if (oldest !== undefined && this.#pages.size >= MOST_PAGES) this.#pages.delete(oldest);
    const loading = this.#read(page);
    this.#pages.set(page, loading);
    return loading;
  }

  async #read(page: number): Promise<Buffer> {
    const bytes = Buffer.alloc(PAGE_BYTES);
    try {
      await this.#file.read(bytes, 0, PAGE_BYTES, HEADER_BYTES + page * PAGE_BYTES);
      return bytes;
    } catch (error) {
      throw localError(error, `read ${this.#path}`, this.#path);
    }
  }

  /** @throws ColdsnapError code `SOURCE_CHANGED` when the file was written since it was checked */
  async checkUnchanged(): Promise<void> {
    const { size, ctimeNs } = await this.#file.stat({ bigint: true });
    // The time of the last write can be put back, that of the last change cannot.
    if (size !== this.#stats.size || ctimeNs !== this.#stats.ctimeNs) throw digestsChanged(this.#path);
  }

  async close(): Promise<void> {
    await this.#file.close().catch(() => {});
  }
}
