/** Claims a block device for a restore. */
import type { BigIntStats } from 'node:fs';
import { deviceInfo, openExclusive } from '../../native/index.ts';
import { Descriptor } from '../descriptor.ts';
import { isErrno, localError } from '../errno.ts';
import { deviceChanged, deviceInUse, deviceNoMedium, targetReadOnly } from '../messages/devices.ts';
import { deviceIdentity } from './identity.ts';
import { DeviceTarget } from './target.ts';
import { describeUsers } from './users.ts';

interface OpenDeviceOptions {
  /** Whether it is this process's stdout. */
  readonly stdout?: boolean;
  /** Once it fires, nothing on the device is changed any more. */
  readonly signal?: AbortSignal;
}

/**
 * Claims the device that `stats` describes and checks that it can be written.
 * @param device the path with symbolic links followed
 * @throws ColdsnapError `DEVICE_IN_USE`, `TARGET_READ_ONLY`, `TARGET_NO_MEDIUM`, `DEVICE_CHANGED`
 */
export async function openDeviceTarget(
  path: string,
  device: string,
  stats: BigIntStats,
  options: OpenDeviceOptions = {},
): Promise<DeviceTarget> {
  const descriptor = new Descriptor(await claim(path, device, stats), path);
  try {
    const info = await descriptor.use(`examine ${path}`, (fd) => deviceInfo(fd));
    if (info.sizeBytes === 0) throw deviceNoMedium(path, 'target');
    if (info.readOnly) throw targetReadOnly(path);
    // The claim excludes mounts and other claims of this device, but not loop devices above it, other paths to the same
    // storage, or programs that write without a claim.
    const users = await describeUsers(stats.rdev, { stdout: options.stdout === true });
    if (users.length > 0) throw deviceInUse(path, users);
    return new DeviceTarget(
      path,
      device,
      descriptor,
      stats.rdev,
      info,
      await deviceIdentity(stats.rdev, info.sizeBytes),
      options.signal,
    );
  } catch (error) {
    await descriptor.close();
    throw error;
  }
}

async function claim(path: string, device: string, { dev, ino, rdev }: BigIntStats): Promise<number> {
  try {
    return await openExclusive(device, { dev, ino, rdev });
  } catch (error) {
    if (isErrno(error, 'EBUSY')) throw deviceInUse(path, await describeClaim(rdev));
    if (isErrno(error, 'EROFS')) throw targetReadOnly(path);
    if (isErrno(error, 'ENOMEDIUM', 'ENXIO')) throw deviceNoMedium(path, 'target');
    if (isErrno(error, 'EINODECHANGED')) throw deviceChanged(path, error);
    throw localError(error, `open ${path} for writing`, path);
  }
}

/** Who may hold the exclusive claim: who uses the device, else any program that has it open. */
async function describeClaim(rdev: bigint): Promise<string[]> {
  const users = await describeUsers(rdev);
  return users.length > 0 ? users : describeUsers(rdev, { readers: true });
}
