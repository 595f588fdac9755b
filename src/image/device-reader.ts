/** Reads a device past the page cache, which does not see what is written by other paths to it, such as its partitions. */
import {
  type BlockComparison,
  type BlockRead,
  type BlockReadResult,
  compareBlocks,
  deviceInfo,
  dropCache,
  isZero,
  type ReceivedBlock,
  readBlocks,
  sha256,
} from '../native/index.ts';
import { type Descriptor, directAlignment } from './descriptor.ts';
import { flush } from './source-stamp.ts';

export interface OpenDevice {
  readonly descriptor: Descriptor;
  /** For direct I/O, where that is supported. */
  readonly direct: Descriptor | undefined;
  /** Bytes. */
  readonly sizeBytes: number;
  /** Bytes; direct I/O needs multiples of it. */
  readonly logicalBlockSize: number;
}

/** Opens it past the page cache. A file was often just written, and then is in the cache. */
export async function openDevice(descriptor: Descriptor): Promise<OpenDevice> {
  await flush(descriptor);
  const { sizeBytes, logicalBlockSize } = await descriptor.use(`examine ${descriptor.path}`, (fd) =>
    deviceInfo(fd),
  );
  return { descriptor, direct: await descriptor.openDirect('read'), sizeBytes, logicalBlockSize };
}

/** As {@link readBlocks}, which it is where direct I/O can serve all: not at the end of an odd-sized device. */
export async function readDevice(
  device: OpenDevice,
  reads: readonly BlockRead[],
  options: { readonly hash: boolean } = { hash: true },
): Promise<BlockReadResult[]> {
  const { direct } = device;
  if (direct !== undefined && areAligned(device, reads))
    return direct.use(`read ${direct.path}`, (fd) => readBlocks(fd, [...reads], options));
  const counts: number[] = [];
  for (const read of reads) counts.push(await readInParts(device, read));
  const digests = options.hash ? await sha256(reads.map(({ data }) => data)) : [];
  return reads.map(({ data }, i) => ({
    digest: digests[i] ?? new Uint8Array(0),
    zero: isZero(data),
    bytesRead: counts[i]!,
  }));
}

/** As {@link compareBlocks}. */
export async function compareDevice(
  device: OpenDevice,
  blocks: readonly ReceivedBlock[],
  buffer: Uint8Array,
): Promise<BlockComparison[]> {
  const { descriptor, direct } = device;
  if (direct !== undefined && areAligned(device, blocks))
    return direct.use(`read ${direct.path}`, (fd) => compareBlocks(fd, blocks, buffer));
  const first = Math.min(...blocks.map(({ offset }) => offset));
  return descriptor.use(`read ${descriptor.path}`, async (fd) => {
    await dropCache(fd, first - (first % directAlignment), 0);
    return compareBlocks(fd, blocks, buffer);
  });
}

function areAligned(device: OpenDevice, reads: readonly BlockRead[]): boolean {
  return reads.every(
    (read) =>
      alignedLength(device, read) === read.data.length && read.offset + read.data.length <= device.sizeBytes,
  );
}

/** How much of a block direct I/O can read, in bytes from its beginning. */
function alignedLength(
  { direct, sizeBytes, logicalBlockSize }: OpenDevice,
  { data, offset }: BlockRead,
): number {
  if (direct === undefined || offset % logicalBlockSize !== 0) return 0;
  const there = Math.max(0, Math.min(data.length, sizeBytes - offset));
  return there - (there % logicalBlockSize);
}

/** @returns the bytes that the device had */
async function readInParts(device: OpenDevice, read: BlockRead): Promise<number> {
  const { descriptor, direct } = device;
  const length = alignedLength(device, read);
  const part = async (from: Descriptor, data: Uint8Array, offset: number) => {
    const [result] = await from.use(`read ${from.path}`, (fd) =>
      readBlocks(fd, [{ data, offset }], { hash: false }),
    );
    return result!.bytesRead;
  };
  const first =
    direct === undefined || length === 0 ? 0 : await part(direct, read.data.subarray(0, length), read.offset);
  if (length === read.data.length) return first;
  const rest = read.offset + length;
  const page = rest - (rest % directAlignment);
  await descriptor.use(`read ${descriptor.path}`, (fd) => dropCache(fd, page, 0));
  return first + (await part(descriptor, read.data.subarray(length), rest));
}
