/** The images that runs write or read: a loop device over a file if possible, else the file. */
import { execFileSync, spawnSync } from 'node:child_process';
import { closeSync, fsyncSync, openSync, readFileSync, rmSync, truncateSync } from 'node:fs';
import { basename, join } from 'node:path';
import { type Layout, layoutArguments } from './layout.ts';
import { programPath } from './programs.ts';

const SECTOR = 512;
/** Field of /sys/block/NAME/stat: sectors written. */
const SECTORS_WRITTEN = 6;

export class Volume {
  /** The path passed to commands. */
  readonly path: string;
  readonly file: string;
  readonly isDevice: boolean;

  private constructor(file: string, device: string | undefined) {
    this.file = file;
    this.path = device ?? file;
    this.isDevice = device !== undefined;
  }

  /** A new image of `bytes` zeros. As root and with `useLoop`, a loop device that writes through with O_DIRECT. */
  static create(directory: string, name: string, bytes: number, useLoop: boolean): Volume {
    const file = join(directory, name);
    closeSync(openSync(file, 'w'));
    truncateSync(file, bytes);
    if (!useLoop || process.getuid?.() !== 0) return new Volume(file, undefined);
    const device = execFileSync('losetup', ['--find', '--show', file], { encoding: 'utf8' }).trim();
    const volume = new Volume(file, device);
    if (spawnSync('losetup', ['--direct-io=on', device], { stdio: 'ignore' }).status === 0) return volume;
    volume.remove();
    throw new Error(
      `${directory} is on a file system without direct I/O: choose another directory with --dir`,
    );
  }

  /** Writes a snapshot's contents, which also allocates the blocks, as on a disk in use. */
  fill(snapshotId: string, layout: Layout): void {
    const args = ['write', this.path, '--snapshot', snapshotId, ...layoutArguments(layout)];
    execFileSync(programPath('image'), args, { stdio: ['ignore', 'ignore', 'inherit'] });
  }

  /** Describes wrong contents; undefined if they are right. */
  check(snapshotId: string, layout: Layout): string | undefined {
    const args = ['check', this.path, '--snapshot', snapshotId, ...layoutArguments(layout)];
    const result = spawnSync(programPath('image'), args, { encoding: 'utf8' });
    if (result.status === 0) return undefined;
    if (result.status !== 1) throw new Error(`cannot check ${this.path}: ${result.stderr}`);
    const { wrong, first } = JSON.parse(result.stdout) as { wrong: number; first: number };
    return `wrong blocks: ${wrong}, the first is ${first}`;
  }

  /** Bytes written to the device since its creation; undefined for a file. Syncs first. */
  bytesWritten(): number | undefined {
    if (!this.isDevice) return undefined;
    const fd = openSync(this.path, 'r+');
    fsyncSync(fd);
    closeSync(fd);
    const fields = readFileSync(`/sys/block/${basename(this.path)}/stat`, 'utf8')
      .trim()
      .split(/\s+/);
    return Number(fields[SECTORS_WRITTEN]) * SECTOR;
  }

  /** Bytes of it in the page cache, including the backing file. */
  cachedBytes(): number {
    const paths = this.isDevice ? [this.path, this.file] : [this.file];
    const cached = (path: string) =>
      Number(execFileSync(programPath('image'), ['cached', path], { encoding: 'utf8' }));
    return paths.map(cached).reduce((sum, bytes) => sum + bytes, 0);
  }

  remove(): void {
    if (this.isDevice) execFileSync('losetup', ['--detach', this.path]);
    rmSync(this.file, { force: true });
  }
}
