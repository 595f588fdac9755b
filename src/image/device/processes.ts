/** Files that other programs have open, mapped or locked. Needs root for the programs of other users. */

import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { deviceNumber, type KernelFiles } from './identity.ts';
import { linkIn, namesIn, textOf } from './storage.ts';

/** stat() on these can hang for as long as the server is away. */
const networkFileSystem = /^(nfs|cifs|smb|fuse|9p|ceph|afs|lustre|gfs|ocfs)/;
const accessMode = 3;
/** How many processes are examined before other work of this one gets its turn. */
const processesAtOnce = 16;

/** An open file, as a user of a device or file. */
interface Opener {
  readonly pid: number;
  readonly program: string;
  /** The number of the device, where the file is a block device. */
  readonly number?: string;
  /** `dev:ino` of a regular file. */
  readonly file?: string;
}

interface OpenersOptions {
  /** Whether to skip files that are open for reading only. */
  readonly writable: boolean;
  /** Processes to skip. */
  readonly except: ReadonlySet<number>;
}

export function processIds(files: KernelFiles): number[] {
  return namesIn(files.proc)
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

/** Block devices and regular files that programs have open or mapped: of each program, every file once. */
export async function findOpeners(files: KernelFiles, options: OpenersOptions): Promise<Opener[]> {
  const openers: Opener[] = [];
  const pids = processIds(files).filter((pid) => !options.except.has(pid));
  for (let at = 0; at < pids.length; at += processesAtOnce) {
    const some = pids.slice(at, at + processesAtOnce);
    const found = await Promise.all(some.map((pid) => openFiles(pid, files, options.writable)));
    for (const [index, opened] of found.entries()) {
      if (opened.size === 0) continue;
      const pid = some[index] as number;
      // Not comm, which names a thread: Node.js 22 calls its first one MainThread.
      const command = textOf(`${files.proc}/${pid}/cmdline`).split('\0', 1)[0] ?? '';
      const program = basename(command) || 'a program';
      for (const file of opened.values()) openers.push({ pid, program, ...file });
    }
  }
  return openers;
}

type OpenFile = Pick<Opener, 'number' | 'file'>;

async function openFiles(pid: number, files: KernelFiles, writable: boolean): Promise<Map<string, OpenFile>> {
  const directory = `${files.proc}/${pid}`;
  // Kernel threads have no mappings; a program whose mappings this process may not see hides its descriptors, too.
  const maps = textOf(`${directory}/maps`);
  if (maps === '') return new Map();
  let remote: RemoteMounts | undefined;
  const opened: Promise<OpenFile | undefined>[] = [];
  for (const fd of namesIn(`${directory}/fd`)) {
    // Most of what programs have open: sockets and pipes, which have no path, and the null device.
    const path = linkIn(`${directory}/fd/${fd}`);
    if (!path.startsWith('/') || path === '/dev/null') continue;
    const info = textOf(`${directory}/fdinfo/${fd}`);
    const flags = Number.parseInt(/^flags:\s*([0-7]+)/m.exec(info)?.[1] ?? '0', 8);
    if (writable && (flags & accessMode) === 0) continue;
    const mount = /^mnt_id:\s*(\d+)/m.exec(info)?.[1];
    remote ??= remoteMounts(pid, files);
    if (mount !== undefined && remote.ids.has(mount)) continue;
    opened.push(openFile(`${directory}/fd/${fd}`));
  }
  // A mapping outlives the descriptor that it was made of.
  for (const { range, number, path } of sharedMappings(maps, writable)) {
    remote ??= remoteMounts(pid, files);
    if (remote.numbers.has(number)) continue;
    opened.push(openFile(`${directory}/map_files/${range}`, path));
  }
  const found = new Map<string, OpenFile>();
  for (const file of await Promise.all(opened)) {
    const key = file?.number ?? file?.file;
    if (file !== undefined && key !== undefined) found.set(key, file);
  }
  return found;
}

/** The block device or regular file of the first path that can be examined; without fields if it is something else. */
async function openFile(...paths: string[]): Promise<OpenFile | undefined> {
  for (const path of paths) {
    const info = await stat(path, { bigint: true }).catch(() => undefined);
    if (info?.isBlockDevice()) return { number: deviceNumber(info.rdev) };
    if (info?.isFile()) return { file: `${info.dev}:${info.ino}` };
    if (info !== undefined) return {};
  }
  return undefined;
}

interface Mapping {
  /** Addresses, as the names in `map_files`. */
  readonly range: string;
  /** The number of the file system, as mountinfo writes it. */
  readonly number: string;
  readonly path: string;
}

/** The shared mappings of files, each file once. */
function sharedMappings(maps: string, writable: boolean): Mapping[] {
  const found = new Map<string, Mapping>();
  // "7faef1436000-7faef1536000 rw-s 00000000 fe:00 10504327   /tmp/disk.img"
  for (const line of maps.split('\n')) {
    const match = /^(\S+) .(.).s \S+ (\w+):(\w+) (\d+) +(\/.*)$/.exec(line);
    if (match === null || (writable && match[2] !== 'w')) continue;
    const [, range = '', , major = '', minor = '', inode = '', path = ''] = match;
    const number = `${Number.parseInt(major, 16)}:${Number.parseInt(minor, 16)}`;
    found.set(`${number} ${inode}`, { range, number, path });
  }
  return [...found.values()];
}

interface RemoteMounts {
  readonly ids: ReadonlySet<string>;
  readonly numbers: ReadonlySet<string>;
}

function remoteMounts(pid: number, files: KernelFiles): RemoteMounts {
  const remote = textOf(`${files.proc}/${pid}/mountinfo`)
    .split('\n')
    .filter((line) => networkFileSystem.test(line.split(' - ', 2)[1] ?? ''))
    .map((line) => line.split(' ', 3));
  const fields = (at: number) => new Set(remote.map((line) => line[at] ?? ''));
  return { ids: fields(0), numbers: fields(2) };
}

/** Processes that hold a lock on a file, of any kind. */
export function findLockers(file: { dev: bigint; ino: bigint }, files: KernelFiles): number[] {
  // "1: OFDLCK ADVISORY  WRITE -1 fe:00:262150 0 EOF", device numbers in hexadecimal
  const [major, minor] = deviceNumber(file.dev).split(':').map(Number) as [number, number];
  const pids = new Set<number>();
  for (const line of textOf(`${files.proc}/locks`).split('\n')) {
    const match = /(-?\d+) ([0-9a-f]+):([0-9a-f]+):(\d+) \S+ \S+$/.exec(line);
    if (match === null || BigInt(match[4]!) !== file.ino) continue;
    if (Number.parseInt(match[2]!, 16) === major && Number.parseInt(match[3]!, 16) === minor)
      pids.add(Number(match[1]));
  }
  return [...pids];
}

/** This process and the programs that started it, such as sudo or a shell: they share its stdout. */
export function ancestors(files: KernelFiles): Set<number> {
  const found = new Set([process.pid]);
  for (let pid = process.ppid; pid > 1 && !found.has(pid); ) {
    found.add(pid);
    pid = Number(/^PPid:\s*(\d+)/m.exec(textOf(`${files.proc}/${pid}/status`))?.[1] ?? 0);
  }
  return found;
}
