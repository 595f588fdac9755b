/**
 * Scratch directories, loop devices and mounts for tests, removed after the test. Loop devices are shared with all other
 * programs of the machine: only those that a test attached are looked at, and a lock file keeps tests that run at the same
 * time from attaching and detaching the same number.
 */
import { execFile, execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, open, rm, stat, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import { until } from './until.ts';

const execute = promisify(execFile);

/** Common to all users of the machine, so not in TMPDIR. */
const lockFile = '/tmp/coldsnap-test-loop.lock';

/** Why loop devices cannot be used here; undefined where they can. */
export const noLoopDevices: string | undefined = whyNot();

function whyNot(): string | undefined {
  if (process.geteuid?.() !== 0) return 'loop devices need root';
  if (!existsSync('/dev/loop-control')) return 'this kernel has no loop devices';
  try {
    execFileSync('losetup', ['--find'], { stdio: 'pipe' });
    return undefined;
  } catch (error) {
    return `losetup does not work here: ${error instanceof Error ? error.message : error}`;
  }
}

/** Options of a test that needs loop devices: it is skipped, with the reason, where there are none. */
export const needsLoop: { skip?: string } = noLoopDevices === undefined ? {} : { skip: noLoopDevices };

export interface LoopOptions {
  /** Size of the device in bytes. */
  bytes: number;
  /** The value of every byte; a hole unless given. */
  fill?: number;
  /** Logical block size: 512 unless given. */
  sectorSize?: number;
  readOnly?: boolean;
  /** Directory for the backing file, if not the scratch directory. */
  directory?: string;
}

export interface LoopDevice {
  /** For example `/dev/loop3`. */
  device: string;
  /** The file behind it; reading it shows what the device holds. */
  backing: string;
}

export class Scratch {
  readonly directory: string;
  readonly #undo: (() => Promise<unknown>)[] = [];
  #count = 0;

  private constructor(directory: string) {
    this.directory = directory;
    this.#undo.push(() => rm(directory, { recursive: true, force: true }));
  }

  /** Makes a directory that is removed after the test, with everything made through this object. */
  static async for(test: TestContext): Promise<Scratch> {
    const scratch = new Scratch(await mkdtemp(join(tmpdir(), 'coldsnap-test-')));
    test.after(() => scratch.#takeDown());
    return scratch;
  }

  path(name: string): string {
    return join(this.directory, name);
  }

  /** Adds a step to the cleanup after the test, which runs the latest first. */
  onEnd(undo: () => Promise<unknown>): void {
    this.#undo.push(undo);
  }

  async loop(options: LoopOptions): Promise<LoopDevice> {
    const backing = join(options.directory ?? this.directory, `loop-${this.#count++}.img`);
    const file = await open(backing, 'wx');
    await file.truncate(options.bytes);
    if (options.fill !== undefined) {
      const piece = Buffer.alloc(Math.min(options.bytes, 1024 * 1024), options.fill);
      for (let at = 0; at < options.bytes; at += piece.length) {
        await file.write(piece, 0, Math.min(piece.length, options.bytes - at), at);
      }
    }
    await file.close();
    const sector = options.sectorSize === undefined ? [] : ['--sector-size', String(options.sectorSize)];
    const readOnly = options.readOnly === true ? ['--read-only'] : [];
    return { device: await this.attach(backing, [...sector, ...readOnly]), backing };
  }

  /** Attaches a file to a loop device. @returns the device, which may be another each time */
  async attach(backing: string, args: readonly string[] = []): Promise<string> {
    const device = await attachLoop(backing, args);
    this.#undo.push(() => detachLoop(device, backing));
    return device;
  }

  /** Detaches a device, and waits until the kernel has released its file. */
  async detach(device: string): Promise<void> {
    const backing = backingOf(device);
    if (backing === undefined) return;
    await detachLoop(device, backing);
    await until(() => backingOf(device) !== backing);
  }

  /** Detaches a device, runs a command line, and attaches the file to the same device, which no other test takes meanwhile. */
  async reattach(device: string, backing: string, meanwhile: string): Promise<void> {
    const released = `! grep --quiet . /sys/block/${basename(device)}/loop/backing_file 2>/dev/null`;
    const script = `set -e
      losetup --detach ${device}
      until ${released}; do sleep 0.05; done
      ${meanwhile}
      losetup ${device} '${backing}'`;
    await execute('flock', [lockFile, 'sh', '-c', script]);
  }

  /** Makes a partition that the kernel knows without a partition table. Sizes are in sectors. @returns its device */
  async partition(device: string, start: number, length: number, number = 1): Promise<string> {
    await execute('addpart', [device, String(number), String(start), String(length)]);
    this.#undo.push(() => dropPartitions(device));
    return `${device}p${number}`;
  }

  /** Mounts a device or file system; returns the mount point. */
  async mount(source: string, args: string[] = []): Promise<string> {
    const point = this.path(`mount-${this.#count++}`);
    await mkdir(point);
    await execute('mount', [...args, source, point]);
    this.#undo.push(async () => {
      // A detached device keeps its file until the last program that looks at it has closed it.
      await until(() => !loopDevices().some((device) => backingOf(device)?.startsWith(`${point}/`)));
      await execute('umount', [point]);
    });
    return point;
  }

  /** A file system in memory that holds `bytes` at most; returns where it is mounted. */
  tmpfs(bytes: number): Promise<string> {
    return this.mount('tmpfs', ['-t', 'tmpfs', '-o', `size=${bytes}`]);
  }

  async #takeDown(): Promise<void> {
    const failures: unknown[] = [];
    for (const undo of this.#undo.reverse()) await undo().catch((error: unknown) => failures.push(error));
    if (failures.length > 0) throw new AggregateError(failures, 'the cleanup after the test failed');
  }
}

/**
 * Takes the lowest free number from 64 on: `losetup --find` of another program opens the lowest of all, and for writing.
 * Direct I/O, where the file system of the file has it, halves the time to read a device of holes: no page of the file is
 * allocated and cleared.
 */
const attach = `n=64
  while [ -e /sys/block/loop$n/loop/backing_file ]; do n=$((n + 1)); done
  losetup "$@" /dev/loop$n "$backing" && echo /dev/loop$n
  losetup --direct-io=on /dev/loop$n 2>/dev/null || :`;

/** Attaches a file to a loop device. Other programs take devices too: a device that is taken is no failure. */
export async function attachLoop(backing: string, args: readonly string[]): Promise<string> {
  for (;;) {
    try {
      const command = ['env', `backing=${backing}`, 'sh', '-c', attach, 'sh', ...args];
      const device = (await execute('flock', [lockFile, ...command])).stdout.trim();
      await dropPartitions(device);
      return device;
    } catch (error) {
      if (!/resource busy|temporarily unavailable/.test(String(error))) throw error;
      await pause(20);
    }
  }
}

/** Detaches a device if it still has this file: a test may have detached it, and its number have a new owner. */
export async function detachLoop(device: string, backing: string): Promise<void> {
  const attached = `/sys/block/${basename(device)}/loop/backing_file`;
  const script = 'if [ "$(cat "$1" 2>/dev/null)" = "$2" ]; then losetup --detach "$3"; fi';
  await execute('flock', [lockFile, 'sh', '-c', script, 'sh', attached, backing, device]);
}

/**
 * Removes the partitions of a device: the kernel keeps them when it detaches the file. A busy one stays until the number is
 * attached again: a program that made a mount namespace meanwhile has a copy of the mount.
 */
async function dropPartitions(device: string): Promise<void> {
  const directory = `/sys/block/${basename(device)}`;
  for (const name of readdirSync(directory).filter((entry) => entry.startsWith(`${basename(device)}p`))) {
    const number = readFileSync(`${directory}/${name}/partition`, 'utf8').trim();
    await execute('delpart', [device, number]).catch((error: unknown) => {
      if (!/resource busy/.test(String(error))) throw error;
    });
  }
}

function loopDevices(): string[] {
  return readdirSync('/sys/block').filter((name) => name.startsWith('loop'));
}

/** The file behind a loop device; undefined when it has none. */
export function backingOf(device: string): string | undefined {
  try {
    return readFileSync(`/sys/block/${basename(device)}/loop/backing_file`, 'utf8').trimEnd();
  } catch {
    return undefined;
  }
}

/** Replaces the contents of a device with holes. */
export async function emptyDevice({ device, backing }: LoopDevice): Promise<void> {
  const { size } = await stat(backing);
  await truncate(backing, 0);
  await truncate(backing, size);
  await forgetCache(device);
}

/**
 * Makes a device forget what it has cached, after its file was changed. It forgets when it is closed, unless another program
 * has it open at that moment, such as one that lists all disks.
 */
export async function forgetCache(device: string): Promise<void> {
  await execute('blockdev', ['--flushbufs', device]);
}

/** Runs a program to its end. @throws when it fails */
export async function run(program: string, ...args: string[]): Promise<string> {
  return (await execute(program, args)).stdout;
}
