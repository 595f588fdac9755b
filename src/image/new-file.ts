/** Refuses to make a new file among devices or the kernel's own files: it would be in memory, and gone after a reboot. */
import { readdir, readFile, stat, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { ColdsnapError } from '../errors.ts';
import { exactRealpath } from './exact-path.ts';
import { formatSize } from './messages/common.ts';
import { targetDeviceMissing, targetNotSupported } from './messages/targets.ts';

/** proc, sysfs, cgroup, cgroup2, debugfs, tracefs, devpts and others that hold no data of users. */
const kernelFileSystems: ReadonlySet<number> = new Set([
  0x9fa0, 0x62656572, 0x27e0eb, 0x63677270, 0x64626720, 0x74726163, 0x1cd1, 0x73636673, 0xcafe4a11,
  0xde5e81e4,
]);
const maxNamed = 12;

/**
 * Checks the path of a file that does not exist yet.
 * @throws ColdsnapError `TARGET_DEVICE_MISSING`, `TARGET_NOT_SUPPORTED`
 */
export async function checkNewFile(path: string): Promise<void> {
  const neighbours = await specialNeighbours(path);
  if (neighbours === 'devices') throw targetDeviceMissing(path, await listDisks());
  if (neighbours !== undefined) throw targetNotSupported(path, `among ${neighbours}`);
}

/** Describes the files that a new file of this path would be among; undefined for those of users. */
export async function specialNeighbours(
  path: string,
): Promise<"the kernel's own files" | 'devices' | undefined> {
  const directory = await existingDirectory(path);
  const { type } = await statfs(directory);
  if (kernelFileSystems.has(type) || isBelow(directory, '/proc') || isBelow(directory, '/sys'))
    return "the kernel's own files";
  return (await isAmongDevices(directory)) ? 'devices' : undefined;
}

/** The nearest directory above the path that exists, with symbolic links followed. */
async function existingDirectory(path: string): Promise<string> {
  for (let directory = dirname(path); ; directory = dirname(directory)) {
    const real = await exactRealpath(directory).catch((error) => {
      if (error instanceof ColdsnapError) throw error;
    });
    if (real !== undefined) return real;
    if (directory === dirname(directory)) return '/';
  }
}

function isBelow(directory: string, top: string): boolean {
  return directory === top || directory.startsWith(`${top}/`);
}

/** /dev/shm and the like are file systems of their own. In a container /dev is a tmpfs, so its type does not tell. */
async function isAmongDevices(directory: string): Promise<boolean> {
  if (!isBelow(directory, '/dev')) return false;
  const [here, devices] = await Promise.all([stat(directory), stat('/dev')]);
  return here.dev === devices.dev;
}

/** For example `/dev/nvme1n1: 8589934592 bytes (8 GiB)`; loop devices last. */
async function listDisks(): Promise<string[]> {
  const disks: string[] = [];
  for (const name of (await readdir('/sys/block').catch(() => [])).sort(loopsLast)) {
    const sectors = Number(await readFile(`/sys/block/${name}/size`, 'utf8').catch(() => ''));
    if (sectors > 0) disks.push(`/dev/${name.replaceAll('!', '/')}: ${formatSize(sectors * 512)}`);
  }
  return disks.length > maxNamed ? [...disks.slice(0, maxNamed), `${disks.length - maxNamed} more`] : disks;
}

function loopsLast(one: string, other: string): number {
  return Number(one.startsWith('loop')) - Number(other.startsWith('loop')) || (one < other ? -1 : 1);
}
