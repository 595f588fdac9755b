/**
 * Which block devices share storage with a device or a file: its disk and partitions, loop devices above and below it, what
 * device mapper and md make of it, and other paths to the same disk. Reads sysfs; what cannot be read is not found.
 */
import { existsSync, readdirSync, readFileSync, readlinkSync, realpathSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import type { Inode } from '../../native/index.ts';
import { deviceNumber, type KernelFiles } from './identity.ts';
import { identifyLoopFile } from './loop-file.ts';

const SECTOR = 512;
/** Loop devices above loop devices: deeper than anybody stacks them. */
const maxDepth = 16;

export interface BlockDevice {
  /** `major:minor` */
  readonly number: string;
  /** The kernel's name, for example `sdb1`. */
  readonly name: string;
  readonly directory: string;
  /** The disk of a partition: its number, and where the partition is on it, in bytes. */
  readonly disk?: { readonly number: string; readonly start: number };
  /** The file or device behind a loop device, and where the loop device begins in it, in bytes. */
  readonly backing?: { readonly path: string; readonly start: number };
  /** Bytes; infinite where unknown. */
  readonly size: number;
}

/** A range of bytes of a disk or file. */
interface Location {
  /** `device:major:minor`, `wwid:…` for a disk that may have several paths, or `file:dev:ino`. */
  readonly medium: string;
  readonly start: number;
  readonly end: number;
}

/** Synchronous, like {@link textOf}: the kernel's files wait for no disk, and a scan reads thousands of them. */
export function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

export function textOf(path: string): string {
  // Most files that are asked for do not exist, and an error takes ten times as long.
  if (!existsSync(path)) return '';
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

export function linkIn(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}

function numberIn(path: string): number {
  const text = textOf(path).trim();
  return text === '' ? Number.NaN : Number(text);
}

/** The medium of a regular file, as {@link Storage} names it. */
export function fileMedium({ dev, ino }: { readonly dev: bigint; readonly ino: bigint }): string {
  return `file:${dev}:${ino}`;
}

export class Storage {
  readonly #devices: ReadonlyMap<string, BlockDevice>;
  readonly #files: KernelFiles;
  readonly #locations = new Map<string, Location>();
  /** Files and devices behind loop devices, by the number of those. */
  readonly #backing = new Map<string, Promise<Inode | undefined>>();

  private constructor(devices: ReadonlyMap<string, BlockDevice>, files: KernelFiles) {
    this.#devices = devices;
    this.#files = files;
  }

  /** Looks at every block device of the machine. */
  static read(files: KernelFiles): Storage {
    const devices = namesIn(`${files.sys}/dev/block`).map((number) => readDevice(number, files));
    return new Storage(
      new Map(devices.flatMap((device) => (device ? [[device.number, device]] : []))),
      files,
    );
  }

  device(number: string): BlockDevice | undefined {
    return this.#devices.get(number);
  }

  /**
   * The devices that share bytes with a device (the first) or a file: a write to one can be seen in another.
   * @param of a device's number, or a medium from {@link fileMedium}
   */
  async sharing(of: string): Promise<{ devices: BlockDevice[]; media: string[] }> {
    const found = new Map<string, BlockDevice>();
    const isFile = of.startsWith('file:');
    const queue: Location[] = [];
    const media = new Set<string>();
    const add = async (device: BlockDevice): Promise<void> => {
      if (found.has(device.number)) return;
      found.set(device.number, device);
      for (const holder of namesIn(`${device.directory}/holders`)) {
        const number = textOf(`${device.directory}/holders/${holder}/dev`).trim();
        const above = this.#devices.get(number);
        if (above !== undefined) queue.push(await this.#locate(above));
      }
    };
    if (isFile) queue.push({ medium: of, start: 0, end: Infinity });
    const self = this.#devices.get(of);
    if (self !== undefined) {
      queue.push(await this.#locate(self));
      await add(self);
    }
    for (let location = queue.shift(); location !== undefined; location = queue.shift()) {
      media.add(location.medium);
      for (const device of this.#devices.values()) {
        const other = await this.#locate(device);
        if (other.medium !== location.medium) continue;
        if (other.start < location.end && location.start < other.end) await add(device);
      }
    }
    return { devices: [...found.values()], media: [...media] };
  }

  /** Numbers of the devices that a device lies on: its disk, and what is behind a loop device. */
  async below(number: string): Promise<Set<string>> {
    const found = new Set<string>();
    let device = this.#devices.get(number);
    for (let depth = 0; device !== undefined && depth < maxDepth; depth++) {
      device = device.disk ? this.#devices.get(device.disk.number) : await this.#deviceBehind(device);
      if (device !== undefined) found.add(device.number);
    }
    return found;
  }

  async #deviceBehind(device: BlockDevice): Promise<BlockDevice | undefined> {
    const inode = await this.#behind(device);
    return inode === undefined || inode.rdev === 0n ? undefined : this.#devices.get(deviceNumber(inode.rdev));
  }

  async #behind(device: BlockDevice): Promise<Inode | undefined> {
    if (device.backing === undefined) return undefined;
    let found = this.#backing.get(device.number);
    found ??= identifyLoopFile(device, device.backing.path, this.#files);
    this.#backing.set(device.number, found);
    return found;
  }

  async #locate(device: BlockDevice, depth = 0): Promise<Location> {
    const known = this.#locations.get(device.number);
    if (known !== undefined) return known;
    const { disk, backing, size } = device;
    const own = { medium: ownMedium(device), start: 0, end: size };
    let location: Location = own;
    if (depth < maxDepth) {
      const lower = disk === undefined ? await this.#deviceBehind(device) : this.#devices.get(disk.number);
      const start = disk?.start ?? backing?.start ?? 0;
      if (lower !== undefined) location = within(await this.#locate(lower, depth + 1), start, size);
      else if (backing !== undefined) {
        const file = await this.#behind(device);
        const medium = file === undefined ? `path:${backing.path}` : fileMedium(file);
        location = { medium, start, end: start + size };
      }
    }
    this.#locations.set(device.number, location);
    return location;
  }
}

function within(outer: Location, start: number, size: number): Location {
  const from = outer.start + start;
  return { medium: outer.medium, start: from, end: Math.min(outer.end, from + size) };
}

/** Disks with several paths have the same WWID on each. */
function ownMedium({ number, directory }: BlockDevice): string {
  const multipath = textOf(`${directory}/dm/uuid`).startsWith('mpath-');
  const [path] = multipath ? namesIn(`${directory}/slaves`) : [];
  const disk = path === undefined ? directory : `${directory}/slaves/${path}`;
  const wwid = (textOf(`${disk}/wwid`) || textOf(`${disk}/device/wwid`)).trim();
  return wwid === '' ? `device:${number}` : `wwid:${wwid}`;
}

function readDevice(number: string, files: KernelFiles): BlockDevice | undefined {
  let directory: string;
  try {
    directory = realpathSync.native(`${files.sys}/dev/block/${number}`);
  } catch {
    return undefined;
  }
  const name = basename(directory);
  const sectors = numberIn(`${directory}/size`);
  // Loop devices without a file, and drives without a medium.
  if (sectors === 0) return undefined;
  const size = Number.isNaN(sectors) ? Infinity : sectors * SECTOR;
  const common = { number, name, directory, size };
  if (textOf(`${directory}/partition`) !== '') {
    const start = (numberIn(`${directory}/start`) || 0) * SECTOR;
    return { ...common, disk: { number: textOf(`${dirname(directory)}/dev`).trim(), start } };
  }
  const path = textOf(`${directory}/loop/backing_file`).replace(/\n$/, '');
  if (path === '') return common;
  return { ...common, backing: { path, start: numberIn(`${directory}/loop/offset`) || 0 } };
}
