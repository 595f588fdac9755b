/** Lists the block devices of the machine that could be a target, with what is on them and who uses them. */
import { constants } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { deviceInfo } from '../../native/index.ts';
import { describeFormat, describeLayout, readLayout } from '../layout/layout.ts';
import { bytesOf } from '../layout/open-layout.ts';
import { badOption } from '../messages/common.ts';
import { isBlank } from './blank.ts';
import { kernelFiles } from './identity.ts';
import { devicesFromLsblk } from './lsblk.ts';
import { devicesFromSysfs } from './sysfs.ts';
import { describeUsers } from './users.ts';

/** A block device as lsblk or sysfs describes it. */
export interface FoundDevice {
  readonly path: string;
  /** The kernel's name, for example `nvme0n1p1`. */
  readonly name: string;
  /** As lsblk names it: `disk`, `part`, `lvm`, `crypt`, `raid1`, `loop`, `rom`, … */
  readonly type: string;
  /** Bytes; 0 without a medium. */
  readonly size: number;
  readonly model?: string;
  readonly serial?: string;
  /** `nvme`, `sata`, `usb`, `virtio`, … */
  readonly transport?: string;
  readonly readOnly: boolean;
  /** Path of the disk of a partition, or of the device that this one is made of. */
  readonly parent?: string;
  /** The format that udev has found. */
  readonly format?: { readonly type: string; readonly label?: string };
}

/** A block device that could be the target of a download. */
export interface DeviceDescription extends Omit<FoundDevice, 'format' | 'name'> {
  /** The EBS volume, where the serial number names one. */
  readonly volumeId?: string;
  /** `blank`, a format such as `ext4 "root"`, or `data of an unknown kind`; absent where the device cannot be read. */
  readonly contents?: string;
  /** Who uses it, for example `mounted at / (ext4)`; only root sees the programs of other users. */
  readonly uses: readonly string[];
}

export interface ListDevicesOptions {
  /** Also loop devices, RAM disks, optical drives and read-only devices. Default false. */
  all?: boolean | undefined;
}

/** Devices that are no target in general, by the kernel's name, with their partitions. */
const special = /^(loop|ram|zram|sr|fd|mtdblock)\d/;

/** A device that hangs must not hold up the list. */
const PATIENCE_MS = 5_000;

/**
 * Lists the disks, partitions and volumes of the machine: those with a medium that can be written, unless `all` is set.
 * Reads a few MiB of each to tell what is on it, and writes nothing.
 * @throws ColdsnapError `BAD_OPTION`, or class `local` where sysfs is not mounted
 */
export async function listDevices(options: ListDevicesOptions = {}): Promise<DeviceDescription[]> {
  if (typeof options !== 'object' || options === null) throw badOption('the options', 'an object', options);
  const { all = false } = options;
  if (typeof all !== 'boolean') throw badOption('all', 'true or false', all);
  const found = (await devicesFromLsblk()) ?? devicesFromSysfs(kernelFiles);
  const possible = ({ name, type, readOnly }: FoundDevice) =>
    all || !(readOnly || type === 'rom' || special.test(name));
  const listed = found.filter((device) => device.size > 0 && possible(device));
  return Promise.all(listed.map(describe));
}

async function describe({ name: _, format, ...device }: FoundDevice): Promise<DeviceDescription> {
  const [contents, uses] = await Promise.all([
    withPatience(describeContentsOf(device.path)).catch(() => undefined),
    usesOf(device.path),
  ]);
  const known = contents ?? (format === undefined ? undefined : describeFormat(format));
  const volumeId = volumeOf(device.serial);
  return {
    ...device,
    ...(volumeId === undefined ? {} : { volumeId }),
    ...(known === undefined ? {} : { contents: known }),
    uses,
  };
}

/** On Nitro the serial number of an EBS volume is its ID without the hyphen. */
function volumeOf(serial: string | undefined): string | undefined {
  const digits = /^vol-?([0-9a-f]{8,17})$/.exec(serial ?? '')?.[1];
  return digits === undefined ? undefined : `vol-${digits}`;
}

async function usesOf(path: string): Promise<string[]> {
  const info = await stat(path, { bigint: true }).catch(() => undefined);
  return info?.isBlockDevice() ? describeUsers(info.rdev) : [];
}

/** @throws what opening or reading fails with */
async function describeContentsOf(path: string): Promise<string> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const layout = describeLayout(await readLayout(bytesOf(file)));
    if (layout !== undefined) return layout;
    const { sizeBytes } = await deviceInfo(file.fd);
    return (await isBlank(file.fd, sizeBytes)) ? 'blank' : 'data of an unknown kind';
  } finally {
    await file?.close();
  }
}

function withPatience<T>(work: Promise<T>): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => resolve(undefined), PATIENCE_MS);
    timer.unref();
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
