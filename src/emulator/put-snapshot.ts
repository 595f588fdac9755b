/** Creates and reads snapshots without requests. */

import { randomBytes } from 'node:crypto';
import { type FileHandle, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isZero, nextExtent } from '../native/index.ts';
import { digestOf } from './digest.ts';
import { lineage, nextBlock, providerOf } from './lineage.ts';
import { defaultKey } from './operations/encryption.ts';
import type { PutSnapshotOptions, SnapshotView } from './options.ts';
import type { Settings } from './settings.ts';
import { isSnapshotId, type Snapshot } from './snapshot.ts';
import type { Store } from './store.ts';

/** @throws Error if the ID is taken, the parent does not exist, or a block is outside the volume or of the wrong size */
export async function putSnapshot(
  store: Store,
  settings: Settings,
  options: PutSnapshotOptions,
): Promise<string> {
  const id = options.id ?? store.newId();
  if (!isSnapshotId(id)) throw new Error(`a snapshot ID is snap- and hexadecimal digits, not ${id}`);
  const { volumeSizeGiB } = options;
  if (!Number.isInteger(volumeSizeGiB) || volumeSizeGiB < 1 || volumeSizeGiB > 65_536) {
    throw new Error(`volumeSizeGiB must be a whole number from 1 to 65536, not ${volumeSizeGiB}`);
  }
  if (store.isTaken(id)) throw new Error(`snapshot ${id} already exists`);
  const parent = options.parent === undefined ? undefined : store.get(options.parent);
  if (options.parent !== undefined && parent === undefined)
    throw new Error(`snapshot ${options.parent} does not exist`);
  if (parent !== undefined && parent.metadata.blockSize !== settings.blockSize) {
    throw new Error(
      `snapshot ${parent.id} has blocks of ${parent.metadata.blockSize} bytes, not ${settings.blockSize}`,
    );
  }
  const encrypted = options.encrypted ?? parent?.metadata.encrypted ?? false;
  const now = settings.now();
  const snapshot = store.create({
    version: 1,
    id,
    ownerId: settings.accountId,
    volumeSizeGiB,
    blockSize: settings.blockSize,
    startTime: now,
    encrypted,
    timeoutMs: settings.pendingTimeoutMs ?? 3_600_000,
    status: 'pending',
    tags: Object.entries(options.tags ?? {}).map(([key, value]) => ({ key, value })),
    ...(encrypted ? { kmsKeyArn: parent?.metadata.kmsKeyArn ?? defaultKey(settings) } : {}),
    ...(options.description === undefined ? {} : { description: options.description }),
    ...(options.parent === undefined ? {} : { parentSnapshotId: options.parent }),
  });
  try {
    await putContents(snapshot, options);
  } catch (error) {
    store.delete(id);
    throw error;
  }
  snapshot.metadata.status = options.status ?? 'completed';
  // Its completion lies in the past, so that lists find it immediately.
  if (snapshot.metadata.status === 'completed') snapshot.metadata.completedAt = now - settings.notVisibleMs;
  snapshot.save();
  return id;
}

async function putContents(snapshot: Snapshot, { blocks, gone }: PutSnapshotOptions): Promise<void> {
  if (typeof blocks === 'string') await putImage(snapshot, blocks);
  else {
    const entries = blocks instanceof Map ? [...blocks] : Object.entries(blocks);
    for (const [index, data] of entries) await putBlock(snapshot, Number(index), data as Uint8Array);
  }
  for (const block of gone ?? []) snapshot.removeBlock(block);
}

async function putBlock(snapshot: Snapshot, block: number, data: Uint8Array): Promise<void> {
  const { blockSize } = snapshot.metadata;
  if (data.length !== blockSize) throw new Error(`block ${block} has ${data.length} bytes, not ${blockSize}`);
  if (!Number.isInteger(block) || block < 0 || block >= snapshot.volumeBlocks) {
    throw new Error(`block ${block} is outside the volume of ${snapshot.volumeBlocks} blocks`);
  }
  await snapshot.writeBlock(block, data, digestOf(data), isZero(data));
}

/** Writes every block of an image that is not all zeros; holes are not read. */
async function putImage(snapshot: Snapshot, path: string): Promise<void> {
  const image = await open(path);
  try {
    const { size } = await image.stat();
    const { blockSize } = snapshot.metadata;
    // Some file systems report a hole where data have no place on the medium yet.
    await image.sync();
    for (let offset = 0; offset < size; offset += blockSize) {
      const extent = await nextExtent(image.fd, offset);
      if (extent === null) break;
      if (extent.start >= offset + blockSize) offset = Math.floor(extent.start / blockSize) * blockSize;
      const data = Buffer.alloc(blockSize);
      await readFully(image, data, offset);
      if (!isZero(data)) await putBlock(snapshot, offset / blockSize, data);
    }
  } finally {
    await image.close();
  }
}

/** Fills the buffer, or as much of it as the file has data for. */
async function readFully(file: FileHandle, buffer: Buffer, offset: number): Promise<void> {
  for (let done = 0; done < buffer.length; ) {
    const { bytesRead } = await file.read(buffer, done, buffer.length - done, offset + done);
    if (bytesRead === 0) return;
    done += bytesRead;
  }
}

/** Few enough bytes that the image of an encrypted snapshot remains sparse. */
const RANDOM_BYTES = 512;

/** Path of a snapshot's image, including its ancestors' blocks; written if no single file has them. */
export async function readImage(snapshot: Snapshot): Promise<string> {
  const { encrypted, blockSize } = snapshot.metadata;
  if (snapshot.wholeImage !== undefined && !encrypted) return snapshot.wholeImage;
  const path = join(snapshot.directory, 'merged-image');
  await rm(path, { force: true });
  const file = await open(path, 'wx');
  try {
    await file.truncate(snapshot.volumeBytes);
    const layers = lineage(snapshot);
    let next = 0;
    // A volume made from an encrypted snapshot decrypts what was never written.
    const fillTo = async (end: number) => {
      for (; encrypted && next < end; next++)
        await file.write(randomBytes(RANDOM_BYTES), 0, RANDOM_BYTES, next * blockSize);
    };
    for (let block = nextBlock(layers, 0); block !== -1; block = nextBlock(layers, block + 1)) {
      const { data } = await providerOf(layers, block)!.readBlock(block);
      await fillTo(block);
      next = block + 1;
      if (!isZero(data)) await file.write(data, 0, data.length, block * blockSize);
    }
    await fillTo(snapshot.volumeBlocks);
  } finally {
    await file.close();
  }
  return path;
}

export function viewOf(snapshot: Snapshot): SnapshotView {
  const { metadata } = snapshot;
  return {
    id: metadata.id,
    status: metadata.status,
    ...(metadata.statusMessage === undefined ? {} : { statusMessage: metadata.statusMessage }),
    volumeSizeGiB: metadata.volumeSizeGiB,
    blockSize: metadata.blockSize,
    writtenBlocks: [...snapshot.written],
    tags: Object.fromEntries(metadata.tags.map(({ key, value }) => [key, value])),
    description: metadata.description ?? '',
    ...(metadata.parentSnapshotId === undefined ? {} : { parentSnapshotId: metadata.parentSnapshotId }),
    encrypted: metadata.encrypted,
    ...(metadata.kmsKeyArn === undefined ? {} : { kmsKeyArn: metadata.kmsKeyArn }),
  };
}
