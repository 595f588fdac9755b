/** Mounted file systems and swap, as the kernel lists them. */
import { stat } from 'node:fs/promises';
import { deviceNumber, type KernelFiles } from './identity.ts';
import { processIds } from './processes.ts';
import { linkIn, namesIn, textOf } from './storage.ts';

export interface Mount {
  /** The number of the mounted device; btrfs and similar file systems have one of their own. */
  readonly number: string;
  readonly directory: string;
  readonly fileSystem: string;
  readonly source: string;
  /** Whether the file system can be written, whatever this mount of it allows. */
  readonly writable: boolean;
  /** The process in whose mount namespace it is, where that is not this one's. */
  readonly elsewhere?: number;
}

/** mountinfo and swaps write spaces and the like as octal, for example `\040`. */
function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}

function parseMountinfo(text: string): Mount[] {
  return text.split('\n').flatMap((line) => {
    // 36 35 98:0 /root /mnt rw,noatime master:1 - ext4 /dev/sda1 rw
    const [before, after] = line.split(' - ', 2);
    const [, , number, , directory] = before?.split(' ') ?? [];
    const [fileSystem, source, options] = after?.split(' ') ?? [];
    if (number === undefined || directory === undefined || fileSystem === undefined || source === undefined)
      return [];
    return [
      {
        number,
        directory: unescapeOctal(directory),
        fileSystem,
        source: unescapeOctal(source),
        writable: options?.split(',').includes('rw') !== false,
      },
    ];
  });
}

/** The mounts of this mount namespace, then those of others. */
export function readMounts(files: KernelFiles): Mount[] {
  const mounts = parseMountinfo(textOf(`${files.proc}/self/mountinfo`));
  const namespaceOf = (pid: string | number) => linkIn(`${files.proc}/${pid}/ns/mnt`);
  const seen = new Set([namespaceOf('self'), '']);
  for (const pid of processIds(files)) {
    const namespace = namespaceOf(pid);
    if (seen.has(namespace)) continue;
    seen.add(namespace);
    const others = parseMountinfo(textOf(`${files.proc}/${pid}/mountinfo`));
    mounts.push(...others.map((mount) => ({ ...mount, elsewhere: pid })));
  }
  return mounts;
}

/** The numbers of the devices that a mounted file system lies on; btrfs may have several, of which a mount names one. */
export async function devicesOf(mount: Mount, { sys }: KernelFiles): Promise<string[]> {
  const named = await numberOfNode(mount.source);
  const numbers = named === undefined ? [mount.number] : [mount.number, named];
  if (named === undefined || mount.fileSystem !== 'btrfs') return numbers;
  for (const id of namesIn(`${sys}/fs/btrfs`)) {
    const directory = `${sys}/fs/btrfs/${id}/devices`;
    const devices = namesIn(directory).map((name) => textOf(`${directory}/${name}/dev`).trim());
    if (devices.includes(named)) numbers.push(...devices);
  }
  return numbers;
}

/** The device number of a device node; undefined for anything else. */
export async function numberOfNode(path: string): Promise<string | undefined> {
  if (!path.startsWith('/')) return undefined;
  const info = await stat(path, { bigint: true }).catch(() => undefined);
  return info?.isBlockDevice() ? deviceNumber(info.rdev) : undefined;
}

/** The partitions and files in use as swap. */
export function readSwaps(files: KernelFiles): string[] {
  const lines = textOf(`${files.proc}/swaps`).split('\n').slice(1);
  return lines
    .map((line) => unescapeOctal(line.split(/\s/, 1)[0] ?? ''))
    .filter((path) => path.startsWith('/'));
}
