/** Tells one block device from another. */
import { readFile, realpath } from 'node:fs/promises';
import { basename, dirname } from 'node:path';

/** Where the kernel's files are mounted; tests use other directories. */
export interface KernelFiles {
  readonly proc: string;
  readonly sys: string;
  /** Device nodes; not looked at unless given. */
  readonly dev?: string;
}

export const kernelFiles: KernelFiles = { proc: '/proc', sys: '/sys', dev: '/dev' };

/** The device number as `major:minor`, as sysfs and mountinfo write it. */
export function deviceNumber(rdev: bigint): string {
  const major = ((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & 0xfffff000n);
  const minor = (rdev & 0xffn) | ((rdev >> 12n) & 0xffffff00n);
  return `${major}:${minor}`;
}

async function attribute(directory: string, name: string): Promise<string | undefined> {
  try {
    const text = (await readFile(`${directory}/${name}`, 'utf8')).trim();
    return text === '' ? undefined : text;
  } catch {
    return undefined;
  }
}

/**
 * Identifies a device whatever its name: by its WWID or serial (with the partition's number), the UUID of a device-mapper
 * or md device, a loop device's backing file, else by number and size.
 */
export async function deviceIdentity(rdev: bigint, sizeBytes: number, sys = '/sys'): Promise<string> {
  const number = deviceNumber(rdev);
  const fallback = `device:${number}:${sizeBytes}`;
  let directory: string;
  try {
    directory = await realpath(`${sys}/dev/block/${number}`);
  } catch {
    return fallback;
  }
  const partition = await attribute(directory, 'partition');
  const disk = partition === undefined ? directory : dirname(directory);
  const suffix = partition === undefined ? '' : `:part${partition}`;
  for (const name of ['wwid', 'device/wwid', 'dm/uuid', 'md/uuid', 'device/serial', 'serial'] as const) {
    const value = await attribute(disk, name);
    if (value !== undefined) return `${basename(name)}:${value}${suffix}`;
  }
  const backing = await attribute(disk, 'loop/backing_file');
  if (backing === undefined) return fallback;
  const offset = (await attribute(disk, 'loop/offset')) ?? '0';
  return `loop:${backing}:${offset}:${sizeBytes}${suffix}`;
}
