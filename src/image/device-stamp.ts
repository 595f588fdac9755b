/** A stamp shows whether a device was written: by the kernel's count of sectors, and the change times of files below it. */
import { constants } from 'node:fs';
import { readFile, realpath, stat } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { Descriptor } from './descriptor.ts';
import { deviceNumber, type KernelFiles, kernelFiles } from './device/identity.ts';
import { identifyLoopFile } from './device/loop-file.ts';
import { namesIn } from './device/storage.ts';
import { type Bounds, readBypassCount, readWriteCount } from './device/write-count.ts';
import { fileStamp } from './source-stamp.ts';

export interface DeviceStamp {
  /** Differs after a write to the device, or to the file behind a loop device. */
  readonly own: string;
  /**
   * Differs also after a write to the disk of a partition, or to the devices of which it is made. These have other users, so
   * a difference does not prove a change. Undefined where equal stamps would prove nothing: a file below may have been
   * written without a trace, or the kernel does not number its disks.
   */
  readonly stamp: string | undefined;
  /** For a partition: what was written to its disk through no partition. */
  readonly bypass: Bounds | undefined;
  /** The files behind the loop devices that it is made of, lowest last. */
  readonly files: readonly LoopFile[];
}

/** The file behind a loop device. The device does not count what other programs write to it. */
interface LoopFile {
  /** Sectors written through the loop device. */
  readonly written: string;
  /** Its inode and change time; empty for a file that cannot be found. */
  readonly changed: string;
  readonly stamp: string | undefined;
}

/** Whether a device was written between two stamps; where there are none, nothing is known. */
export function wasWritten(before: DeviceStamp | undefined, after: DeviceStamp | undefined): boolean {
  if (before === undefined) return false;
  if (before.own !== after?.own) return true;
  if (before.bypass !== undefined && (after.bypass?.least ?? Infinity) > before.bypass.most) return true;
  // A file that changed without a write through its loop device was written by another program.
  return before.files.some(({ written, changed }, at) => {
    const now = after.files[at];
    return now?.written === written && now.changed !== changed;
  });
}

/** Flush first. Undefined where the kernel does not count writes. */
export async function deviceStamp(
  rdev: bigint,
  files: KernelFiles = kernelFiles,
): Promise<DeviceStamp | undefined> {
  const directory = await realpath(`${files.sys}/dev/block/${deviceNumber(rdev)}`).catch(() => '');
  const count = await readWriteCount(rdev, files);
  if (count === undefined) return undefined;
  const below: string[] = [];
  const found: LoopFile[] = [];
  let own = count;
  for (let queue = [directory]; queue.length > 0; ) {
    const layer = queue.shift()!;
    const written = await sectorsWritten(layer);
    const loop = await readLoop(layer, written, files);
    if (layer !== directory) below.push(written);
    else if (loop !== undefined) own = `${count} ${loop.file.changed}`;
    if (loop !== undefined) found.push(loop.file);
    if (below.length < maxLayers)
      queue = [...queue, ...(await directoriesBelow(layer)), ...(loop?.below ?? [])];
  }
  // Before Linux 5.15 a disk that takes the place of another has the same name, and perhaps the same count.
  const isNumbered = count.split(' ')[2] !== '';
  const proved = isNumbered && found.every(({ stamp }) => stamp !== undefined);
  const stamp = proved ? ['device:', own, ...below, ...found.map((file) => file.stamp)].join(' ') : undefined;
  return { own, stamp, bypass: readBypassCount(rdev, files), files: found };
}

/** More than anybody stacks. */
const maxLayers = 64;

/** The disk of a partition; what device mapper or md made a device of. */
async function directoriesBelow(directory: string): Promise<string[]> {
  const partition = await readFile(`${directory}/partition`, 'utf8').catch(() => '');
  if (partition !== '') return [dirname(directory)];
  const slaves = namesIn(`${directory}/slaves`).sort();
  return Promise.all(slaves.map((name) => realpath(`${directory}/slaves/${name}`)));
}

/** @returns the file behind a loop device, and the directory of the device that it is, if so; undefined for other devices */
async function readLoop(
  directory: string,
  written: string,
  files: KernelFiles,
): Promise<{ file: LoopFile; below: string[] } | undefined> {
  const path = (await readFile(`${directory}/loop/backing_file`, 'utf8').catch(() => '')).replace(/\n$/, '');
  if (path === '') return undefined;
  const number = (await readFile(`${directory}/dev`, 'utf8').catch(() => '')).trim();
  const inode = await identifyLoopFile({ number, name: basename(directory) }, path, files);
  const named = await stat(path, { bigint: true }).catch(() => undefined);
  if (inode === undefined || named?.ino !== inode.ino || named.dev !== inode.dev)
    return { file: { written, changed: '', stamp: undefined }, below: [] };
  const changed = `${named.dev}:${named.ino}:${named.ctimeNs}`;
  if (inode.rdev === 0n)
    return { file: { written, changed, stamp: await stampOf(path, changed) }, below: [] };
  const lower = await realpath(`${files.sys}/dev/block/${deviceNumber(inode.rdev)}`).catch(() => undefined);
  return { file: { written, changed, stamp: changed }, below: lower === undefined ? [] : [lower] };
}

/** @param changed inode and change time, which the stamp must be of */
async function stampOf(path: string, changed: string): Promise<string | undefined> {
  let descriptor: Descriptor | undefined;
  try {
    descriptor = await Descriptor.open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const { stats, stamp } = await fileStamp(descriptor);
    return `${stats.dev}:${stats.ino}:${stats.ctimeNs}` === changed ? stamp : undefined;
  } catch {
    return undefined;
  } finally {
    await descriptor?.close();
  }
}

async function sectorsWritten(directory: string): Promise<string> {
  return (await readFile(`${directory}/stat`, 'utf8').catch(() => '')).trim().split(/\s+/)[6] ?? '';
}
