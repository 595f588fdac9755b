/**
 * One snapshot on disk: `metadata.json` (replaced atomically), `written` (a bitmap of blocks put), `gone` (a bitmap of
 * the parent's blocks that are absent), `digests` (32 bytes a block) and `image`, `image.1` … (the data). All but the
 * first are sparse.
 *
 * Acknowledged blocks survive the end of the process, but are not synced against a power cut.
 */

import {
  closeSync,
  constants,
  existsSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  read,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  write,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { nextExtent } from '../native/index.ts';
import { BlockMap } from './block-map.ts';
import type { SnapshotStatus } from './options.ts';

const readAsync = promisify(read);
const writeAsync = promisify(write);

/** A file on ext4 is limited to 16 TiB; volumes go up to 64 TiB. */
const SEGMENT_BYTES = 2 ** 43;

export interface SnapshotMetadata {
  readonly version: 1;
  readonly id: string;
  readonly ownerId: string;
  readonly volumeSizeGiB: number;
  readonly blockSize: number;
  /** Milliseconds since 1970. */
  readonly startTime: number;
  readonly description?: string;
  readonly parentSnapshotId?: string;
  readonly encrypted: boolean;
  readonly kmsKeyArn?: string;
  readonly timeoutMs: number;
  readonly clientToken?: string;
  /** The start request's parameters, to distinguish a repeated request from one that reuses the token. */
  readonly fingerprint?: string;
  tags: { key: string; value: string }[];
  status: SnapshotStatus;
  statusMessage?: string;
  completedAt?: number;
  /** Set by CompleteSnapshot. */
  completion?: { changedBlocksCount: number; checksum?: string; requestedAt: number };
  /** Deleted, but kept because a child needs its blocks. */
  deleted?: boolean;
}

export function isSnapshotId(id: string): boolean {
  return /^snap-[0-9a-f]+$/.test(id) && id.length <= 64;
}

/** Asking is much faster than reading zeros. */
async function isHole(file: number, offset: number, length: number): Promise<boolean> {
  const extent = await nextExtent(file, offset);
  return extent === null || extent.start >= offset + length;
}

/** Replaces a file atomically. The new one is made exclusively: another user may have put a link in its place. */
export function replaceFile(path: string, data: string | Uint8Array, mode = 0o666): void {
  try {
    rmSync(`${path}.new`, { force: true });
    writeFileSync(`${path}.new`, data, { mode, flag: 'wx' });
    renameSync(`${path}.new`, path);
  } catch (error) {
    // That of a write names no file.
    throw Object.assign(error as Error, { path });
  }
}

export class Snapshot {
  readonly metadata: SnapshotMetadata;
  readonly directory: string;
  /** The parent, which provides the blocks that this snapshot does not have. */
  readonly parent: Snapshot | undefined;
  readonly written: BlockMap;
  readonly gone: BlockMap;
  /** Time of the last put, or of the start. */
  lastActivity: number;
  /** Blocks being written. */
  readonly busyBlocks = new Set<number>();
  /** Outcome of checking count and checksum after CompleteSnapshot; undefined until the check has ended. */
  completionOutcome: { error?: string } | undefined;
  readonly #files = new Map<string, number>();

  constructor(directory: string, metadata: SnapshotMetadata, parent: Snapshot | undefined) {
    this.directory = directory;
    this.metadata = metadata;
    this.parent = parent;
    this.written = new BlockMap();
    this.gone = new BlockMap();
    this.lastActivity = metadata.startTime;
  }

  static create(directory: string, metadata: SnapshotMetadata, parent: Snapshot | undefined): Snapshot {
    mkdirSync(directory, { recursive: true });
    const snapshot = new Snapshot(directory, metadata, parent);
    if (snapshot.volumeBytes <= SEGMENT_BYTES) ftruncateSync(snapshot.#file('image'), snapshot.volumeBytes);
    snapshot.#file('digests'); // its mtime gives the time of the last put after a restart
    snapshot.save();
    return snapshot;
  }

  /** Loads a snapshot from disk. @throws if a file cannot be read */
  static load(directory: string, metadata: SnapshotMetadata, parent: Snapshot | undefined): Snapshot {
    const snapshot = new Snapshot(directory, metadata, parent);
    snapshot.#loadMap('written', snapshot.written);
    snapshot.#loadMap('gone', snapshot.gone);
    snapshot.lastActivity = statSync(join(directory, 'digests')).mtimeMs;
    return snapshot;
  }

  get id(): string {
    return this.metadata.id;
  }

  get volumeBytes(): number {
    return this.metadata.volumeSizeGiB * 2 ** 30;
  }

  get volumeBlocks(): number {
    return this.volumeBytes / this.metadata.blockSize;
  }

  /** Replaces the metadata file atomically. */
  save(): void {
    replaceFile(join(this.directory, 'metadata.json'), `${JSON.stringify(this.metadata, null, 2)}\n`);
  }

  /** Stores a block; one that is all zeros (`zero`) may be stored as a hole. */
  async writeBlock(block: number, data: Uint8Array, digest: Uint8Array, zero: boolean): Promise<void> {
    // A block that is not recorded may still hold data of an interrupted put.
    const { file, offset } = this.#locate(block);
    const hole = zero && !this.written.has(block) && (await isHole(file, offset, data.length));
    if (!zero || !(hole || (await this.#readData(block)).equals(data))) {
      const { bytesWritten } = await writeAsync(file, data, 0, data.length, offset);
      if (bytesWritten !== data.length) throw new Error(`short write to ${this.directory}`);
    }
    this.recordBlock(block, digest);
  }

  /** Writes digest and bit synchronously, so that concurrent puts cannot reorder writes to a byte of the bitmap. */
  recordBlock(block: number, digest: Uint8Array): void {
    writeSync(this.#file('digests'), digest, 0, 32, block * 32);
    this.written.add(block);
    // Also when it is set already: a full disk may not have taken it.
    this.#saveBit('written', this.written, block);
  }

  removeBlock(block: number): void {
    if (this.gone.add(block)) this.#saveBit('gone', this.gone, block);
  }

  /** Data and digest of a block that was put into this snapshot. */
  async readBlock(block: number): Promise<{ data: Buffer; digest: Buffer }> {
    return { data: await this.#readData(block), digest: this.readDigests(block, 1) };
  }

  /** Digests of `count` consecutive blocks, 32 bytes each. */
  readDigests(first: number, count: number): Buffer {
    const digests = Buffer.alloc(count * 32);
    readSync(this.#file('digests'), digests, 0, digests.length, first * 32);
    return digests;
  }

  /** Path of the image if one file has all blocks, else undefined. */
  get wholeImage(): string | undefined {
    return this.parent === undefined && this.volumeBytes <= SEGMENT_BYTES
      ? join(this.directory, 'image')
      : undefined;
  }

  close(): void {
    for (const file of this.#files.values()) closeSync(file);
    this.#files.clear();
  }

  async #readData(block: number): Promise<Buffer> {
    const data = Buffer.allocUnsafe(this.metadata.blockSize);
    const { file, offset } = this.#locate(block);
    const { bytesRead } = await readAsync(file, data, 0, data.length, offset);
    return data.fill(0, bytesRead);
  }

  #saveBit(name: string, map: BlockMap, block: number): void {
    writeSync(this.#file(name), Uint8Array.of(map.byteOf(block)), 0, 1, Math.floor(block / 8));
  }

  /** Does not keep the file open: there may be thousands of snapshots. */
  #loadMap(name: string, map: BlockMap): void {
    const path = join(this.directory, name);
    if (existsSync(path)) map.addBitmap(0, readFileSync(path));
  }

  #locate(block: number): { file: number; offset: number } {
    const offset = block * this.metadata.blockSize;
    const segment = Math.floor(offset / SEGMENT_BYTES);
    const file = this.#file(segment === 0 ? 'image' : `image.${segment}`);
    return { file, offset: offset % SEGMENT_BYTES };
  }

  #file(name: string): number {
    let file = this.#files.get(name);
    if (file === undefined) {
      const { O_CREAT, O_NOFOLLOW, O_NONBLOCK, O_RDWR } = constants;
      file = openSync(join(this.directory, name), O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o666);
      this.#files.set(name, file);
    }
    return file;
  }
}
