/** Starts emulators, and makes and compares images. */
import { randomBytes } from 'node:crypto';
import { closeSync, fstatSync, mkdtempSync, openSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { type Emulator, type EmulatorOptions, startEmulator } from '../../src/emulator/index.ts';
import type { TransferEvent } from '../../src/index.ts';
import { isZero, nextExtent } from '../../src/native/index.ts';
import { journalPathFor } from '../../src/transfer/journal/upload.ts';

export const GIB = 2 ** 30;
export const BLOCK = 524_288;

process.env.AWS_ACCESS_KEY_ID = 'AKIDEXAMPLE';
process.env.AWS_SECRET_ACCESS_KEY = 'not-a-secret-but-long-enough-to-look-like-one';
process.env.AWS_EC2_METADATA_DISABLED = 'true';

/** Starts an emulator that closes after the test. @returns it, and the options that connect a transfer to it */
export async function startService(
  t: TestContext,
  options: EmulatorOptions = {},
): Promise<{ emulator: Emulator; service: { endpoint: string; region: string } }> {
  const emulator = await startEmulator(options);
  t.after(() => emulator.close());
  return { emulator, service: { endpoint: emulator.url, region: 'us-east-1' } };
}

/** The journal beside `source` of an upload to an emulator. */
export function uploadJournal(source: string, { url }: Pick<Emulator, 'url'>, region = 'us-east-1'): string {
  return journalPathFor(`${source}.coldsnap-upload`, { endpoint: new URL(url).href, region });
}

/** Makes a directory that is removed after the test. */
export function scratch(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'coldsnap-test-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** Blocks by index: random at `indexes`, zeros at `zeros`. */
export function randomBlocks(
  indexes: readonly number[],
  zeros: readonly number[] = [],
  blockSize = BLOCK,
): Map<number, Buffer> {
  const blocks = new Map<number, Buffer>();
  for (const index of indexes) blocks.set(index, randomBytes(blockSize));
  for (const index of zeros) blocks.set(index, Buffer.alloc(blockSize));
  return new Map([...blocks].sort(([a], [b]) => a - b));
}

/** Reads `length` bytes at `offset`. */
export function bytesAt(path: string, offset: number, length: number): Buffer {
  const file = openSync(path, 'r');
  try {
    const buffer = Buffer.alloc(length);
    const read = readSync(file, buffer, 0, length, offset);
    return buffer.subarray(0, read);
  } finally {
    closeSync(file);
  }
}

/**
 * The index of the first block that differs from the expected ones, which are zeros where `blocks` has none; undefined
 * when the image is right, -1 when its size is wrong. Holes are read only where data are expected.
 */
export async function firstWrongBlock(
  path: string,
  blocks: ReadonlyMap<number, Uint8Array>,
  volumeSize: number,
  blockSize = BLOCK,
): Promise<number | undefined> {
  const file = openSync(path, 'r');
  try {
    const stats = fstatSync(file);
    if (stats.size !== volumeSize && stats.isFile()) return -1;
    const suspects = new Set<number>();
    for (const [at, data] of blocks) if (!stats.isFile() || !isZero(data)) suspects.add(at);
    for (
      let extent = await nextExtent(file, 0);
      extent !== null;
      extent = await nextExtent(file, extent.end)
    ) {
      for (let at = Math.floor(extent.start / blockSize); at * blockSize < extent.end; at++) suspects.add(at);
    }
    const zeros = Buffer.alloc(blockSize);
    const buffer = Buffer.alloc(blockSize);
    for (const at of [...suspects].sort((a, b) => a - b)) {
      if (at >= volumeSize / blockSize) break;
      const read = readSync(file, buffer, 0, blockSize, at * blockSize);
      if (read !== blockSize || !buffer.equals(blocks.get(at) ?? zeros)) return at;
    }
    return undefined;
  } finally {
    closeSync(file);
  }
}

/** Collects a transfer's events. */
export function recorder(): { events: TransferEvent[]; onEvent: (event: TransferEvent) => void } {
  const events: TransferEvent[] = [];
  return { events, onEvent: (event) => events.push(event) };
}
