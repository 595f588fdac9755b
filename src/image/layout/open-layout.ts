/** Reads the layout of a file or block device, opened for reading only. */
import { constants } from 'node:fs';
import { type FileHandle, open, realpath } from 'node:fs/promises';
import { deviceInfo } from '../../native/index.ts';
import { partitionsOf } from '../device/partitions.ts';
import { localError } from '../errno.ts';
import { badOption } from '../messages/common.ts';
import { type DiskLayout, readLayout } from './layout.ts';
import type { ReadBytes } from './signatures.ts';

/** The layout of a file or device. */
export interface ImageLayout extends DiskLayout {
  /** As given; of a device with symbolic links followed. */
  readonly path: string;
  readonly sizeBytes: number;
  /** Whether it is a block device. */
  readonly isDevice: boolean;
  /** Whether the kernel has partitions of the device, which can be mounted. */
  readonly partitionsKnown: boolean;
}

/** Bytes of an open file or device. */
export function bytesOf(file: FileHandle): ReadBytes {
  return async (offset, length) => {
    const { bytesRead, buffer } = await file.read(Buffer.alloc(length), 0, length, offset);
    return buffer.subarray(0, bytesRead);
  };
}

/**
 * Reads which partitions and file systems a raw image or a block device has.
 * @throws ColdsnapError class `local` when it cannot be read, `BAD_OPTION`
 */
export async function readImageLayout(path: string): Promise<ImageLayout> {
  if (typeof path !== 'string' || path.includes('\0')) throw badOption('path', 'a string', path);
  let file: FileHandle | undefined;
  try {
    // A FIFO would be waited for without O_NONBLOCK.
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const stats = await file.stat({ bigint: true });
    const isDevice = stats.isBlockDevice();
    if (!isDevice && !stats.isFile())
      return { path, sizeBytes: 0, isDevice, partitionsKnown: false, partitions: [] };
    const sizeBytes = isDevice ? (await deviceInfo(file.fd)).sizeBytes : Number(stats.size);
    const partitionsKnown = isDevice && partitionsOf(stats.rdev).length > 0;
    // A link has no partitions beside it.
    const node = isDevice ? await realpath(path) : path;
    return { path: node, sizeBytes, isDevice, partitionsKnown, ...(await readLayout(bytesOf(file))) };
  } catch (error) {
    throw localError(error, `read ${path}`, path);
  } finally {
    await file?.close();
  }
}
