/** Files that other programs have open or locked. Needs root for the programs of other users. */

import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { deviceNumber, type KernelFiles } from './identity.ts';
import { linkIn, namesIn, textOf } from './storage.ts';

/** stat() on these can hang for as long as the server is away. */
const networkFileSystem = /^(nfs|cifs|smb|fuse|9p|ceph|afs|lustre|gfs|ocfs)/;
const accessMode = 3;

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

/** Block devices and regular files that programs have open: of each program, every file once. */
export async function findOpeners(files: KernelFiles, options: OpenersOptions): Promise<Opener[]> {
  const openers: Opener[] = [];
  for (const pid of processIds(files)) {
    if (options.except.has(pid)) continue;
    const found = await openFiles(pid, files, options.writable);
    if (found.size === 0) continue;
    // Not comm, which names a thread: Node.js 22 calls its first one MainThread.
    const command = textOf(`${files.proc}/${pid}/cmdline`).split('\0', 1)[0] ?? '';
    const program = basename(command) || 'a program';
    for (const file of found.values()) openers.push({ pid, program, ...file });
  }
  return openers;
}

type OpenFile = Pick<Opener, 'number' | 'file'>;

async function openFiles(pid: number, files: KernelFiles, writable: boolean): Promise<Map<string, OpenFile>> {
  const directory = `${files.proc}/${pid}`;
  const found = new Map<string, OpenFile>();
  let remote: ReadonlySet<string> | undefined;
  for (const fd of namesIn(`${directory}/fd`)) {
    // Sockets and pipes have no path: most of what programs have open.
    if (!linkIn(`${directory}/fd/${fd}`).startsWith('/')) continue;
    const info = textOf(`${directory}/fdinfo/${fd}`);
    const flags = Number.parseInt(/^flags:\s*([0-7]+)/m.exec(info)?.[1] ?? '0', 8);
    if (writable && (flags & accessMode) === 0) continue;
    const mount = /^mnt_id:\s*(\d+)/m.exec(info)?.[1];
    remote ??= remoteMounts(pid, files);
    if (mount !== undefined && remote.has(mount)) continue;
    const opened = await stat(`${directory}/fd/${fd}`, { bigint: true }).catch(() => undefined);
    if (opened?.isBlockDevice()) {
      const number = deviceNumber(opened.rdev);
      found.set(number, { number });
    } else if (opened?.isFile()) {
      const file = `${opened.dev}:${opened.ino}`;
      found.set(file, { file });
    }
  }
  return found;
}

function remoteMounts(pid: number, files: KernelFiles): Set<string> {
  const lines = textOf(`${files.proc}/${pid}/mountinfo`).split('\n');
  return new Set(
    lines
      .filter((line) => networkFileSystem.test(line.split(' - ', 2)[1] ?? ''))
      .map((line) => line.split(' ', 1)[0] ?? ''),
  );
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
