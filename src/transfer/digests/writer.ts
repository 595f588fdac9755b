/** Writes a digest file beside its name, and gives it the name when it is whole. */
import { constants } from 'node:fs';
import { type FileHandle, lstat, open, rename, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { describeFileUsers } from '../../image/device/users.ts';
import { isErrno, localError } from '../../image/errno.ts';
import { targetInUse } from '../../image/messages/targets.ts';
import { specialNeighbours } from '../../image/new-file.ts';
import { isZero } from '../../native/index.ts';
import {
  digestsAmong,
  digestsBusy,
  digestsNotOurs,
  partialDigestsNotOurs,
  partialDigestsReplaced,
} from '../base-messages.ts';
import { RangeSet } from '../engine/range-set.ts';
import {
  computeSeal,
  DIGEST_BYTES,
  DIGESTS_PER_PAGE,
  type DigestHeader,
  encodeHeader,
  HEADER_BYTES,
  isDigestFile,
  PAGE_BYTES,
  sizeOfFile,
} from './format.ts';
import { hasName, isOurs, lock, openPartial, writeAll } from './partial.ts';

const { O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants;

/** Pages in memory. Blocks come almost in order, so that few are in use at a time. */
const MOST_PAGES = 8;

export class DigestWriter {
  readonly #path: string;
  readonly #partial: string;
  readonly #force: boolean;
  readonly #file: FileHandle;
  /** Pages with changes that are not written yet, oldest first. */
  readonly #pages = new Map<number, Buffer>();
  /** Pages that the file has. */
  readonly #written = new RangeSet();
  #turns: Promise<unknown> = Promise.resolve();
  #published = false;

  private constructor(path: string, force: boolean, file: FileHandle) {
    this.#path = path;
    this.#partial = partialOf(path);
    this.#force = force;
    this.#file = file;
  }

  /**
   * Creates `<path>.partial` and locks it.
   * @param force whether a file that is not a digest file may be replaced
   * @throws ColdsnapError class `refused` when the name belongs to another file or run, class `local`
   */
  static async create(path: string, force: boolean): Promise<DigestWriter> {
    const partial = partialOf(path);
    const { file, isNew } = await openPartial(partial);
    let locked = false;
    try {
      locked = lock(file);
      // Another run may have given the file its final name, or removed it, before this run got the lock.
      if (!locked || !(await hasName(file, partial))) throw digestsBusy(partial);
      if (!(await isOurs(file))) throw partialDigestsNotOurs(partial);
      // Never empty from now on, so that a later run knows it for one of ours.
      await writeAll(file, encodeHeader(undefined, undefined), 0);
      await file.truncate(HEADER_BYTES);
    } catch (error) {
      // An empty file would not count as ours in the next run.
      if (isNew && locked && (await hasName(file, partial))) await unlink(partial).catch(() => {});
      await file.close();
      throw localError(error, `write ${partial}`, partial);
    }
    return new DigestWriter(path, force, file);
  }

  /** @param digest undefined for a block of zeros */
  async set(block: number, digest: Uint8Array | undefined): Promise<void> {
    if (digest === undefined) return this.clear(block, block + 1);
    const page = Math.floor(block / DIGESTS_PER_PAGE);
    const at = (block % DIGESTS_PER_PAGE) * DIGEST_BYTES;
    const loaded = this.#pages.get(page);
    if (loaded !== undefined) {
      loaded.set(digest, at);
      return;
    }
    const copy = Buffer.from(digest);
    await this.#inTurn(async () => (await this.#load(page)).set(copy, at));
  }

  /** Blocks `start` … `end - 1` are zeros, or not in the snapshot. */
  async clear(start: number, end: number): Promise<void> {
    for (const page of this.#pagesIn(start, end)) {
      const first = page * DIGESTS_PER_PAGE;
      const from = Math.max(start - first, 0) * DIGEST_BYTES;
      const to = Math.min(end - first, DIGESTS_PER_PAGE) * DIGEST_BYTES;
      await this.#inTurn(async () => (await this.#load(page)).fill(0, from, to));
    }
  }

  /** The pages of a range of blocks that may hold digests. */
  *#pagesIn(start: number, end: number): Generator<number, void, undefined> {
    const first = Math.floor(start / DIGESTS_PER_PAGE);
    const last = Math.ceil(end / DIGESTS_PER_PAGE);
    for (const page of [...this.#pages.keys()]) if (page >= first && page < last) yield page;
    const written = this.#written.ranges().filter(([from, to]) => from < last && to > first);
    for (const [from, to] of written)
      for (let page = Math.max(from, first); page < Math.min(to, last); page++) yield page;
  }

  /** Forgets all digests. */
  reset(): Promise<void> {
    return this.#inTurn(async () => {
      this.#pages.clear();
      this.#written.remove(0, Number.POSITIVE_INFINITY);
      await this.#file.truncate(HEADER_BYTES);
    });
  }

  /** Makes the file whole and durable, still under the name of the partial one. */
  seal(header: DigestHeader): Promise<void> {
    return this.#inTurn(async () => {
      await this.#checkName();
      for (const page of [...this.#pages.keys()]) await this.#unload(page);
      await this.#file.truncate(sizeOfFile(header));
      // A file system may report a hole where data have no place on the medium yet.
      await this.#file.sync();
      const seal = await computeSeal(this.#file, header);
      await writeAll(this.#file, encodeHeader(header, seal), 0);
      await this.#file.sync();
    });
  }

  /**
   * Gives the file its name.
   * @throws ColdsnapError when another program has taken one of the names
   */
  async publish(): Promise<void> {
    await checkReplaceable(this.#path, this.#force);
    await this.#inTurn(async () => {
      await this.#checkName();
      await rename(this.#partial, this.#path);
      this.#published = true;
      const directory = await open(dirname(this.#path), O_RDONLY | O_DIRECTORY);
      await directory.sync().finally(() => directory.close());
    });
  }

  /** Makes the file whole and gives it its name. */
  async save(header: DigestHeader): Promise<void> {
    await this.seal(header);
    await this.publish();
  }

  /** Closes the file, and removes it unless it has its name. Never throws. */
  async close(): Promise<void> {
    await this.#turns;
    const ours = !this.#published && (await hasName(this.#file, this.#partial).catch(() => false));
    if (ours) await unlink(this.#partial).catch(() => {});
    await this.#file.close().catch(() => {});
  }

  /** Runs one operation on the file after the other. */
  #inTurn<T>(operation: () => Promise<T>): Promise<T> {
    const turn = this.#turns.then(operation).catch((error: unknown) => {
      throw localError(error, `write ${this.#partial}`, this.#partial);
    });
    this.#turns = turn.catch(() => {});
    return turn;
  }

  async #checkName(): Promise<void> {
    if (!(await hasName(this.#file, this.#partial))) throw partialDigestsReplaced(this.#partial);
  }

  async #load(page: number): Promise<Buffer> {
    const loaded = this.#pages.get(page);
    if (loaded !== undefined) return loaded;
    const [oldest] = this.#pages.keys();
    if (oldest !== undefined && this.#pages.size >= MOST_PAGES) await this.#unload(oldest);
    const bytes = Buffer.alloc(PAGE_BYTES);
    if (this.#written.has(page)) await this.#file.read(bytes, 0, PAGE_BYTES, positionOf(page));
    this.#pages.set(page, bytes);
    return bytes;
  }

  async #unload(page: number): Promise<void> {
    const bytes = this.#pages.get(page);
    // From now on, changes wait for their turn.
    this.#pages.delete(page);
    if (bytes === undefined || (isZero(bytes) && !this.#written.has(page))) return;
    await writeAll(this.#file, bytes, positionOf(page));
    this.#written.add(page);
  }
}

function positionOf(page: number): number {
  return HEADER_BYTES + page * PAGE_BYTES;
}

export function partialOf(path: string): string {
  return `${path}.partial`;
}

/** @throws ColdsnapError class `refused` for a name that is taken by something that must not be replaced */
export async function checkReplaceable(path: string, force: boolean): Promise<void> {
  const stats = await lstat(path, { bigint: true }).catch((error: unknown) => {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw localError(error, `examine ${path}`, path);
  });
  if (stats === undefined) {
    const neighbours = await specialNeighbours(path);
    if (neighbours !== undefined) throw digestsAmong(path, neighbours);
    return;
  }
  if (!stats.isFile()) throw digestsNotOurs(path, false);
  const file = await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK).catch((error: unknown) => {
    throw localError(error, `open ${path}`, path);
  });
  const start = Buffer.alloc(HEADER_BYTES);
  await file.read(start, 0, HEADER_BYTES, 0).finally(() => file.close());
  if (isDigestFile(start)) return;
  if (!force) throw digestsNotOurs(path, true);
  const users = await describeFileUsers(path, stats);
  if (users.length > 0) throw targetInUse(path, users);
}
