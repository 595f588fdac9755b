/** Stdin that is a file or a disk is watched like one that was named: the shell's `<` must not hide that it is in use. */
import { type BigIntStats, createReadStream, fstat } from 'node:fs';
import type { Readable } from 'node:stream';
import { promisify } from 'node:util';
import { dropCache } from '../native/index.ts';
import { Descriptor } from './descriptor.ts';
import { describeWriters } from './device/users.ts';
import { deviceStamp, wasWritten } from './device-stamp.ts';
import {
  sourceChanged,
  sourceInUse,
  sourceIsDirectory,
  sourceWritten,
  usedSource,
} from './messages/sources.ts';
import type { SourceWarning } from './source.ts';
import { fileStamp, flush } from './source-stamp.ts';

const fstatFd = promisify(fstat);

/** Finds out whether the file or disk behind a stream is written. */
export interface Watch {
  readonly warnings: readonly SourceWarning[];
  /** As {@link ImageSource.checkUnchanged}. */
  check(): Promise<SourceWarning | undefined>;
}

/** Node takes a block device for an empty stdin. */
export async function openStdin(): Promise<Readable> {
  const stats = await fstatFd(0);
  return stats.isBlockDevice() ? createReadStream('', { fd: 0, autoClose: false }) : process.stdin;
}

/**
 * Examines stdin before it is read; undefined for a pipe.
 * @param force whether a disk may be read that may be written meanwhile
 * @throws ColdsnapError `SOURCE_IN_USE`, `SOURCE_IS_DIRECTORY`
 */
export async function watchStdin(label: string, force: boolean): Promise<Watch | undefined> {
  const stats = await fstatFd(0, { bigint: true });
  if (stats.isDirectory()) throw sourceIsDirectory(label);
  if (stats.isBlockDevice()) return watchDevice(label, stats, force);
  if (!stats.isFile()) return undefined;
  // Flushed, so that from now on a write to a page that is mapped already changes the time.
  return watchFile(label, (await fileStamp(new Descriptor(0, label))).stats);
}

async function watchDevice(label: string, { rdev }: BigIntStats, force: boolean): Promise<Watch> {
  const device = new Descriptor(0, label);
  const users = await describeWriters(device, rdev);
  if (users.length > 0 && !force) throw sourceInUse(label, users);
  await flush(device);
  // The cache of a disk does not have what was written by way of its partitions.
  await device.use(`read ${label}`, (fd) => dropCache(fd, 0, 0));
  const before = await deviceStamp(rdev);
  return {
    warnings: users.length > 0 ? [usedSource(label, users)] : [],
    async check() {
      if (!wasWritten(before, await deviceStamp(rdev))) return undefined;
      if (users.length > 0) return sourceWritten(label);
      throw sourceChanged(label, 'it was written to');
    },
  };
}

function watchFile(label: string, before: BigIntStats): Watch {
  return {
    warnings: [],
    async check() {
      const now = await fstatFd(0, { bigint: true });
      if (now.size !== before.size || now.ctimeNs !== before.ctimeNs)
        throw sourceChanged(label, 'it was written to, or its attributes were changed');
      return undefined;
    },
  };
}
