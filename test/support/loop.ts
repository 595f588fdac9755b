/** Scratch directories, loop devices and mounts for tests, taken down when the test ends, however it ends. */
import { execFile, execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import type { TestContext } from 'node:test';
import { promisify } from 'node:util';

const execute = promisify(execFile);

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
  /** What every byte of it is; a hole unless given. */
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

  /** A new directory; it goes, with all that was made through this object, after the test. */
  static async for(test: TestContext): Promise<Scratch> {
    const scratch = new Scratch(await mkdtemp(join(tmpdir(), 'coldsnap-test-')));
    test.after(() => scratch.#takeDown());
    return scratch;
  }

  path(name: string): string {
    return join(this.directory, name);
  }

  /** Has something undone after the test, the latest first. */
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

  /** Makes a file a loop device; gives its name, which may be another each time. */
  async attach(backing: string, args: readonly string[] = []): Promise<string> {
    const { stdout } = await execute('losetup', ['--find', '--show', ...args, backing]);
    const device = stdout.trim();
    this.#undo.push(async () => {
      // A test may have detached it, and the number may be somebody else's by now.
      if (backingOf(device) === backing) await execute('losetup', ['--detach', device]);
    });
    return device;
  }

  /** Mounts a device or file system; returns the mount point. */
  async mount(source: string, args: string[] = []): Promise<string> {
    const point = this.path(`mount-${this.#count++}`);
    await mkdir(point);
    await execute('mount', [...args, source, point]);
    this.#undo.push(() => execute('umount', [point]));
    return point;
  }

  /** A file system in memory that holds `bytes` at most; returns where it is mounted. */
  tmpfs(bytes: number): Promise<string> {
    return this.mount('tmpfs', ['-t', 'tmpfs', '-o', `size=${bytes}`]);
  }

  async #takeDown(): Promise<void> {
    const failures: unknown[] = [];
    for (const undo of this.#undo.reverse()) await undo().catch((error: unknown) => failures.push(error));
    if (failures.length > 0) throw new AggregateError(failures, 'the test could not be cleaned up after');
  }
}

/** The file behind a loop device; undefined when it has none. */
export function backingOf(device: string): string | undefined {
  try {
    return readFileSync(`/sys/block/${basename(device)}/loop/backing_file`, 'utf8').trimEnd();
  } catch {
    return undefined;
  }
}

/** Runs a program to its end. @throws when it fails */
export async function run(program: string, ...args: string[]): Promise<string> {
  return (await execute(program, args)).stdout;
}
