/** Shared by the tests of the addon: temporary files, loop devices, strace, other processes. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  closeSync,
  constants,
  cpSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildSync } from 'esbuild';
import { type Inode, openExclusive } from '../../src/native/index.ts';
import { attachLoop, detachLoop } from '../support/loop.ts';

export const root = fileURLToPath(new URL('../..', import.meta.url));

export function digestOf(data: Uint8Array): Uint8Array {
  return createHash('sha256').update(data).digest();
}

/** Bytes that look random and are the same in each run; never all zeros. */
export function noise(length: number, seed = 1): Uint8Array {
  const data = new Uint8Array(length);
  let x = seed * 2654435761;
  for (let i = 0; i < length; i++) {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    data[i] = x >>> 24;
  }
  if (length > 0) data[length - 1] = 1 + (seed % 255);
  return data;
}

/** Runs `use` with a new directory, which is removed afterwards. */
export async function withDirectory<T>(
  use: (directory: string) => Promise<T> | T,
  under = tmpdir(),
): Promise<T> {
  const directory = mkdtempSync(join(under, 'coldsnap-native-'));
  try {
    return await use(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Runs `use` with a new file of `content`, open for reading and writing with `flags` added. */
export async function withFile<T>(
  content: Uint8Array,
  use: (fd: number, path: string) => Promise<T> | T,
  { flags = 0, under = tmpdir() }: { flags?: number; under?: string } = {},
): Promise<T> {
  return withDirectory(async (directory) => {
    const path = join(directory, 'file');
    writeFileSync(path, content);
    const fd = openSync(path, 2 | flags);
    try {
      return await use(fd, path);
    } finally {
      closeSync(fd);
    }
  }, under);
}

/** Why loop devices cannot be used here, or false. */
export const noLoopDevices: string | false = (() => {
  if (process.getuid?.() !== 0) return 'loop devices need root';
  const found = spawnSync('losetup', ['-f'], { encoding: 'utf8' });
  return found.status === 0 ? false : `losetup -f: ${found.error?.message ?? found.stderr}`;
})();

/** Runs `use` with a loop device over a new file. `args` go to losetup. */
export async function withLoop<T>(
  size: number,
  use: (device: string, backing: string) => Promise<T> | T,
  args: readonly string[] = [],
): Promise<T> {
  return withDirectory(async (directory) => {
    const backing = join(directory, 'disk');
    writeFileSync(backing, '');
    truncateSync(backing, size);
    const device = await attachLoop(backing, args);
    try {
      return await use(device, backing);
    } finally {
      await detachLoop(device, backing);
    }
  });
}

/** Why strace cannot be used here, or false. */
export const noStrace: string | false = (() => {
  const found = spawnSync('strace', ['-qq', '-o', '/dev/null', 'true'], { encoding: 'utf8' });
  return found.status === 0 ? false : `strace does not work here: ${found.error?.message ?? found.stderr}`;
})();

/**
 * A package of one bundled file, as a release has it: package.json, dist/native.mjs, and the addon (copied, or absent).
 * Starts much faster than the sources under tsx.
 */
export function bundle(directory: string, { withAddon = true } = {}): string {
  writeFileSync(join(directory, 'package.json'), '{"name": "coldsnap"}');
  const file = join(directory, 'dist', 'native.mjs');
  buildSync({
    entryPoints: [join(root, 'src/native/index.ts')],
    bundle: true,
    platform: 'node',
    format: 'esm',
    outfile: file,
    logLevel: 'error',
  });
  if (withAddon) {
    mkdirSync(join(directory, 'build'));
    symlinkSync(join(root, 'build', 'Release'), join(directory, 'build', 'Release'));
  }
  return file;
}

export function copyAddon(target: string): void {
  cpSync(join(root, 'build/Release/coldsnap.node'), target);
}

export interface Run {
  status: number | null;
  stdout: string;
  stderr: string;
}

/** Runs a module's text in another Node, with `native` imported from a bundle. */
export function runScript(
  bundleFile: string,
  script: string,
  { wrap = [] as string[], env = {}, args = [] as string[] } = {},
): Run {
  const text = `import * as native from ${JSON.stringify(bundleFile)};\nimport * as fs from 'node:fs';\n${script}`;
  const command = [...wrap, process.execPath, ...args, '--input-type=module', '-e', text];
  const { status, stdout, stderr, error } = spawnSync(command[0]!, command.slice(1), {
    encoding: 'utf8',
    // One pool thread, because strace counts calls by thread.
    env: { ...process.env, UV_THREADPOOL_SIZE: '1', ...env },
    timeout: 60_000,
  });
  if (error) throw error;
  return { status, stdout, stderr };
}

/** Runs a script under strace, which traces (and by `injections` falsifies) calls on `path`; gives the trace's lines. */
export function runTraced(
  directory: string,
  bundleFile: string,
  path: string,
  calls: string,
  injections: readonly string[],
  script: string,
): Run & { trace: string[] } {
  const output = join(directory, 'trace');
  const wrap = ['strace', '-f', '-qq', '-y', '-o', output, '-P', path, '-e', `trace=${calls}`];
  for (const injection of injections) wrap.push('-e', `inject=${injection}`);
  const run = runScript(bundleFile, script, { wrap });
  const trace = readFileSync(output, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.replace(/^\d+ +/, ''));
  return { ...run, trace };
}

/** A path's inode as openExclusive expects it. */
export function inodeOf(path: string): Inode {
  const { dev, ino, rdev } = statSync(path, { bigint: true });
  return { dev, ino, rdev };
}

/** Opens a device, as its only writer or only to read it, and closes it afterwards. */
export async function withDevice(
  device: string,
  use: (fd: number) => Promise<void>,
  { write = true, direct = false } = {},
): Promise<void> {
  const own = write ? await openExclusive(device, inodeOf(device)) : openSync(device, 'r');
  let fd = own;
  try {
    if (direct) fd = openSync(`/proc/self/fd/${own}`, constants.O_RDWR | constants.O_DIRECT);
    await use(fd);
  } finally {
    if (fd !== own) closeSync(fd);
    closeSync(own);
  }
}
