/** Block devices as sysfs has them, for machines without lsblk. */
import { readdirSync, realpathSync } from 'node:fs';
import { localError } from '../errno.ts';
import type { KernelFiles } from './identity.ts';
import type { FoundDevice } from './list.ts';
import { namesIn, textOf } from './storage.ts';

const SECTOR = 512;

/** @throws ColdsnapError class `local` where sysfs is not mounted */
export function devicesFromSysfs(files: KernelFiles): FoundDevice[] {
  const block = `${files.sys}/block`;
  return disksIn(block)
    .sort()
    .flatMap((name) => {
      const directory = `${block}/${name}`;
      const disk = diskAt(directory, name);
      const partitions = namesIn(directory)
        .filter((part) => attribute(`${directory}/${part}/partition`) !== undefined)
        .sort((one, other) => numberOf(directory, one) - numberOf(directory, other))
        .map((part) => partitionAt(`${directory}/${part}`, part, disk));
      return [disk, ...partitions];
    });
}

function disksIn(block: string): string[] {
  try {
    return readdirSync(block);
  } catch (error) {
    throw localError(error, `read ${block}`, block);
  }
}

const numberOf = (directory: string, part: string) => Number(attribute(`${directory}/${part}/partition`));

function attribute(path: string): string | undefined {
  return textOf(path).trim() || undefined;
}

/** Slashes in names are exclamation marks in sysfs. */
const nodeOf = (name: string) => `/dev/${name.replaceAll('!', '/')}`;

function sizeAt(directory: string): number {
  return Number(attribute(`${directory}/size`) ?? 0) * SECTOR;
}

function diskAt(directory: string, name: string): FoundDevice {
  const model = attribute(`${directory}/device/model`);
  const serial = attribute(`${directory}/device/serial`) ?? attribute(`${directory}/serial`);
  const transport = transportOf(directory, name);
  const mapped = attribute(`${directory}/dm/name`);
  const [lower, ...others] = namesIn(`${directory}/slaves`);
  return {
    path: mapped === undefined ? nodeOf(name) : `/dev/mapper/${mapped}`,
    name,
    type: typeOf(directory, name),
    size: sizeAt(directory),
    ...(model === undefined ? {} : { model }),
    ...(serial === undefined ? {} : { serial }),
    ...(transport === undefined ? {} : { transport }),
    readOnly: attribute(`${directory}/ro`) === '1',
    ...(lower === undefined || others.length > 0 ? {} : { parent: nodeOf(lower) }),
  };
}

function partitionAt(directory: string, name: string, disk: FoundDevice): FoundDevice {
  return {
    path: nodeOf(name),
    name,
    type: 'part',
    size: sizeAt(directory),
    readOnly: attribute(`${directory}/ro`) === '1',
    parent: disk.path,
  };
}

/** As lsblk: the kind of a device-mapper device is the beginning of its UUID. */
function typeOf(directory: string, name: string): string {
  const mapped = /^([A-Za-z]+)\d*-/.exec(attribute(`${directory}/dm/uuid`) ?? '')?.[1];
  if (mapped !== undefined) return mapped.toLowerCase();
  if (name.startsWith('dm-')) return 'dm';
  if (name.startsWith('loop')) return 'loop';
  if (name.startsWith('sr')) return 'rom';
  return attribute(`${directory}/md/level`) ?? 'disk';
}

/** From the path of the device that the disk belongs to. */
function transportOf(directory: string, name: string): string | undefined {
  if (name.startsWith('nvme')) return 'nvme';
  if (name.startsWith('vd')) return 'virtio';
  let path: string;
  try {
    path = realpathSync.native(directory);
  } catch {
    return undefined;
  }
  if (path.includes('/usb')) return 'usb';
  return path.includes('/ata') ? 'sata' : undefined;
}
