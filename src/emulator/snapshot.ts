/**
 * One snapshot on disk: `metadata.json` (replaced atomically), `written` (a bitmap of blocks put), `gone` (a bitmap of
 * the parent's blocks that it does not have), `digests` (32 bytes a block) and `image`, `image.1` … (the data). All but
 * the first are sparse, so that the apparent size is that of the volume and the real one that of the blocks.
 *
 * What was acknowledged survives the end of the process; it is not synced against a power cut.
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
  statSync,
  write,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { BlockMap } from './block-map.ts';
import type { SnapshotStatus } from './options.ts';

const readAsync = promisify(read);
const writeAsync = promisify(write);

/** Files of ext4 end at 16 TiB; volumes go to 64. */
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
  /** The start request's parameters, to tell a repeated request from another with the same token. */
  readonly fingerprint?: string;
  tags: { key: string; value: string }[];
  status: SnapshotStatus;
  statusMessage?: string;
  completedAt?: number;
  /** Present from CompleteSnapshot on. */
  completion?: { changedBlocksCount: number; checksum?: string; requestedAt: number };
  /** Deleted, but kept because another snapshot builds on it. */
  deleted?: boolean;
}

export class Snapshot {
  readonly metadata: SnapshotMetadata;
  readonly directory: string;
  /** The snapshot this one builds on. */
  readonly parent: Snapshot | undefined;
  readonly written: BlockMap;
  readonly gone: BlockMap;
  /** When the last block was put, or the snapshot started. */
  lastActivity: number;
  /** Blocks being written at this moment. */
  readonly busyBlocks = new Set<number>();
  /** What checking count and checksum after CompleteSnapshot has found; undefined while it is still going on. */
  verdict: { error?: string } | undefined;
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
    snapshot.#file('digests'); // its time says after a restart when the last block came
    snapshot.save();
    return snapshot;
  }

  /** Reads a snapshot back. @throws when a file cannot be read */
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
    const path = join(this.directory, 'metadata.json');
    writeFileSync(`${path}.new`, `${JSON.stringify(this.metadata, null, 2)}\n`);
    renameSync(`${path}.new`, path);
  }

  /** Stores a block; `zero` tells that it is all zeros, which a hole can stand for. */
  async writeBlock(block: number, data: Uint8Array, digest: Uint8Array, zero: boolean): Promise<void> {
    // A block that is not on record may still hold data: of a put that was cut off.
    if (!zero || !(await this.#readData(block)).equals(data)) {
      const { file, offset } = this.#locate(block);
      const { bytesWritten } = await writeAsync(file, data, 0, data.length, offset);
      if (bytesWritten !== data.length) throw new Error(`short write to ${this.directory}`);
    }
    this.recordBlock(block, digest);
  }

  /** Digest and bit are written at once and in order, so that requests cannot overtake one another in a byte of the map. */
  recordBlock(block: number, digest: Uint8Array): void {
    writeSync(this.#file('digests'), digest, 0, 32, block * 32);
    if (this.written.add(block)) this.#saveBit('written', this.written, block);
  }

  removeBlock(block: number): void {
    if (this.gone.add(block)) this.#saveBit('gone', this.gone, block);
  }

  /** Data and digest of a block that this snapshot itself has. */
  async readBlock(block: number): Promise<{ data: Buffer; digest: Buffer }> {
    return { data: await this.#readData(block), digest: this.readDigests(block, 1) };
  }

  /** Digests of `count` blocks in a row, 32 bytes each. */
  readDigests(first: number, count: number): Buffer {
    const digests = Buffer.alloc(count * 32);
    readSync(this.#file('digests'), digests, 0, digests.length, first * 32);
    return digests;
  }

  /** Path of the image when it is one file that holds all there is, else undefined. */
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

  /** Without keeping the file open: there may be thousands of snapshots. */
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
      file = openSync(join(this.directory, name), constants.O_RDWR | constants.O_CREAT, 0o666);
      this.#files.set(name, file);
    }
    return file;
  }
}
