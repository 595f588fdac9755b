/** Holes from a sidecar file: what `qemu-img map --output=json` says of an image. */
import { createHash } from 'node:crypto';
import { constants, createReadStream } from 'node:fs';
import { Socket } from 'node:net';
import { addAbortSignal } from 'node:stream';
import { throwIfAborted } from '../cancel.ts';
import { Descriptor } from './descriptor.ts';
import { isErrno, localError } from './errno.ts';
import type { ByteRange } from './extents.ts';
import { badMap, holeMapWrong } from './messages/sources.ts';
import { statOf } from './source-stamp.ts';

/** About 300,000 entries; a map of an image in more pieces is of no use. */
const maxMapBytes = 32 * 1024 * 1024;

/** qemu-img reports whole sectors. */
const sector = 512;

/** A map that covers its image. It may be wrong, or older than the image, so what it calls a hole has to be read. */
export class HoleMap {
  readonly path: string;
  /** When the map was written, in ns since 1970. */
  readonly mtimeNs: bigint;
  /** The ranges that are not holes, ascending and merged. */
  readonly ranges: readonly ByteRange[];
  /** SHA-256 of what the map says. */
  readonly digest: string;

  constructor(path: string, mtimeNs: bigint, ranges: readonly ByteRange[]) {
    this.path = path;
    this.mtimeNs = mtimeNs;
    this.ranges = ranges;
    this.digest = createHash('sha256').update(JSON.stringify(ranges)).digest('hex');
  }

  /** Whether no data are in this range. */
  isHole(offset: number, length: number): boolean {
    let low = 0;
    let high = this.ranges.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.ranges[middle]!.end > offset) high = middle;
      else low = middle + 1;
    }
    const next = this.ranges[low];
    return next === undefined || next.start >= offset + length;
  }

  /** The error for data in what the map calls a hole. */
  wrong(imagePath: string, imageMtimeNs: bigint, offset: number): Error {
    return holeMapWrong(this.path, imagePath, offset, this.mtimeNs < imageMtimeNs);
  }
}

/**
 * Reads and checks a map. It must cover the image exactly, from 0 to its size, without gaps: one that does not was made
 * from another image.
 *
 * A hole has no data *and* reads as zeros; a range that only reads as zeros was written, and one that only has no data could
 * be anything.
 * @throws ColdsnapError `BAD_HOLE_MAP`
 */
export async function readQemuMap(
  mapPath: string,
  sizeBytes: number,
  signal?: AbortSignal,
): Promise<HoleMap> {
  let entries: unknown;
  let mtimeNs: bigint;
  try {
    const { text, written } = await readText(mapPath, signal);
    mtimeNs = written;
    entries = JSON.parse(text);
  } catch (error) {
    throwIfAborted(signal);
    if (error instanceof SyntaxError) throw badMap(mapPath, 'it is not JSON');
    if (isErrno(error, 'ENOENT', 'ENOTDIR')) throw badMap(mapPath, 'it does not exist');
    throw localError(error, `read ${mapPath}`, mapPath);
  }
  if (!Array.isArray(entries)) throw badMap(mapPath, 'it is not a list');

  const ranges: { start: number; end: number }[] = [];
  let position = 0;
  entries.forEach((entry: unknown, index) => {
    const { start, length, zero, data } = mapEntry(mapPath, entry, index);
    if (start !== position)
      throw badMap(
        mapPath,
        `entry ${index} starts at ${start} and not where the last one ended, at ${position}`,
      );
    position += length;
    if (zero && !data) return;
    const last = ranges.at(-1);
    if (last?.end === start) last.end = position;
    else ranges.push({ start, end: position });
  });
  if (position !== sizeBytes && position !== Math.ceil(sizeBytes / sector) * sector) {
    throw badMap(mapPath, `it covers ${position} bytes, the image has ${sizeBytes}`);
  }
  return new HoleMap(mapPath, mtimeNs, ranges);
}

/** Reads a file, or a pipe from another program, which may never write. */
async function readText(path: string, signal?: AbortSignal): Promise<{ text: string; written: bigint }> {
  // A blocking open() of a FIFO would hold a thread until there is a writer.
  const descriptor = await Descriptor.open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const stats = await statOf(descriptor);
  if (!stats.isFile() && !stats.isFIFO()) {
    await descriptor.close();
    throw badMap(path, 'it is no file');
  }
  const fd = descriptor.release();
  const stream = stats.isFIFO() ? new Socket({ fd, writable: false }) : createReadStream('', { fd });
  if (signal !== undefined) addAbortSignal(signal, stream);
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of stream as AsyncIterable<Buffer>) {
    length += part.length;
    if (length > maxMapBytes) throw badMap(path, `it has more than ${maxMapBytes} bytes`);
    parts.push(part);
  }
  return { text: Buffer.concat(parts).toString('utf8'), written: stats.mtimeNs };
}

function mapEntry(mapPath: string, entry: unknown, index: number) {
  const fields: Readonly<Record<string, unknown>> =
    typeof entry === 'object' && entry !== null ? { ...entry } : {};
  const { start, length, zero, data } = fields;
  const sizes = [start, length].every(
    (value) => typeof value === 'number' && Number.isSafeInteger(value) && value >= 0,
  );
  if (!sizes || length === 0 || typeof zero !== 'boolean' || typeof data !== 'boolean') {
    throw badMap(mapPath, `entry ${index} lacks a usable start, length, zero or data`);
  }
  return { start: start as number, length: length as number, zero, data };
}
