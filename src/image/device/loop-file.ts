/** The file or device behind a loop device. */
import { type BigIntStats, constants, fstat } from 'node:fs';
import { stat } from 'node:fs/promises';
import { promisify } from 'node:util';
import { type Inode, loopFile } from '../../native/index.ts';
import { Descriptor } from '../descriptor.ts';
import { deviceNumber, type KernelFiles } from './identity.ts';

const fstatFd = promisify(fstat);

/**
 * Identifies it; `rdev` is 0 for a file. The kernel's record also knows a file that was deleted, but has a second name, or
 * is in another mount namespace; without the device's node the path that sysfs gives has to do.
 * @param device number and name of the loop device
 * @param path of its file, from sysfs
 * @returns undefined for a file that is known by its path alone
 */
export async function identifyLoopFile(
  device: { readonly number: string; readonly name: string },
  path: string,
  files: KernelFiles,
): Promise<Inode | undefined> {
  const recorded =
    files.dev === undefined ? undefined : await readRecord(`${files.dev}/${device.name}`, device);
  if (recorded !== undefined) return recorded;
  const info = await stat(path, { bigint: true }).catch(() => undefined);
  return info === undefined ? undefined : inodeOf(info);
}

function inodeOf(info: BigIntStats): Inode {
  return { dev: info.dev, ino: info.ino, rdev: info.isBlockDevice() ? info.rdev : 0n };
}

async function readRecord(node: string, { number }: { readonly number: string }): Promise<Inode | undefined> {
  let descriptor: Descriptor | undefined;
  try {
    descriptor = await Descriptor.open(node, constants.O_RDONLY | constants.O_NONBLOCK);
    const { rdev } = await descriptor.use(`examine ${node}`, (fd) => fstatFd(fd, { bigint: true }));
    if (deviceNumber(rdev) !== number) return undefined;
    return (await descriptor.use(`examine ${node}`, loopFile)) ?? undefined;
  } catch {
    return undefined;
  } finally {
    await descriptor?.close();
  }
}
