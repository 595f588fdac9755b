/** The kernel's view of a disk's partitions: old ones must be gone before a restore writes, new ones there after it. */
import { setTimeout as delay } from 'node:timers/promises';
import { rereadPartitionTable } from '../../native/index.ts';
import { isErrno } from '../errno.ts';
import { deviceNumber, type KernelFiles, kernelFiles } from './identity.ts';
import { namesIn, textOf } from './storage.ts';
import { describeUsers } from './users.ts';

/** udev opens partitions for a moment when they appear or change. */
const patienceMs = 5_000;
const pauseMs = 50;

/** Names of the partitions that the kernel has for a disk, for example `sdb1`. */
export function partitionsOf(rdev: bigint, files: KernelFiles = kernelFiles): string[] {
  const directory = `${files.sys}/dev/block/${deviceNumber(rdev)}`;
  const names: string[] = [];
  for (const name of namesIn(directory)) {
    if (textOf(`${directory}/${name}/partition`) !== '') names.push(name);
  }
  return names;
}

/**
 * Makes the kernel read the partition table again; waits a little while a partition is open.
 * @returns the partitions that it could not replace: one of them stays open, or this process may not do it
 */
export async function rereadPartitions(fd: number, rdev: bigint): Promise<string[]> {
  const until = performance.now() + patienceMs;
  for (;;) {
    if (await reread(fd)) return [];
    // Without old partitions the refusal only means that the device has none at all.
    const old = partitionsOf(rdev);
    if (old.length === 0 || performance.now() >= until) return old;
    await delay(pauseMs);
  }
}

/** Who uses the partitions that could not be replaced, as sentences. */
export async function describePartitions(rdev: bigint, old: readonly string[]): Promise<string[]> {
  const users = await describeUsers(rdev, { readers: true });
  const found = users.filter((use) => use.startsWith('its partition'));
  return found.length > 0 ? found : [`the kernel keeps its partition ${old.join(', ')}`];
}

async function reread(fd: number): Promise<boolean> {
  try {
    return await rereadPartitionTable(fd);
  } catch (error) {
    if (isErrno(error, 'EACCES', 'EPERM', 'EINVAL', 'EBUSY', 'ENOTTY', 'ENOTSUP')) return false;
    throw error;
  }
}
