/** A project that has the packed package in its node_modules. */
import { execFile, spawn } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { project } from '../support/built.ts';

const run = promisify(execFile);

export interface Ended {
  readonly exit: number | NodeJS.Signals;
  readonly stdout: string;
  readonly stderr: string;
}

export class Consumer {
  readonly directory = mkdtempSync(join(tmpdir(), 'coldsnap-consumer-'));
  /** The paths in the tarball, without their first folder. */
  readonly packed: string[] = [];

  path(...names: string[]): string {
    return join(this.directory, ...names);
  }

  /** Packs the package as scripts/package-npm does, with the clone's addon as each prebuilt one, and unpacks it as npm would. */
  async install(): Promise<void> {
    const prebuilds = this.path('prebuilds');
    for (const target of ['linux-x64', 'linux-x64-musl', 'linux-arm64', 'linux-arm64-musl']) {
      mkdirSync(join(prebuilds, target), { recursive: true });
      cpSync(join(project, 'build/Release/coldsnap.node'), join(prebuilds, target, 'coldsnap.node'));
    }
    await run(process.execPath, [join(project, 'scripts/stage-npm.js'), this.path('stage'), prebuilds]);
    const packing = ['pack', '--json', '--pack-destination', this.directory];
    const { stdout } = await run('npm', packing, { cwd: this.path('stage'), maxBuffer: 2 ** 24 });
    const [{ filename, files }] = JSON.parse(stdout) as [{ filename: string; files: { path: string }[] }];
    this.packed.push(...files.map(({ path }) => path));
    const own = this.path('node_modules/coldsnap');
    mkdirSync(own, { recursive: true });
    await run('tar', ['-xzf', this.path(filename), '-C', own, '--strip-components=1']);
    writeFileSync(this.path('package.json'), JSON.stringify({ name: 'consumer', private: true }));
  }

  /** Installs a package of the project's own node_modules in a folder of the consumer's. */
  link(name: string, folder = ''): void {
    const link = this.path(folder, 'node_modules', name);
    mkdirSync(dirname(link), { recursive: true });
    symlinkSync(join(project, 'node_modules', name), link);
  }

  /** Runs a program in a directory of the consumer. */
  run(
    command: string,
    args: readonly string[],
    env: Record<string, string>,
    cwd = this.directory,
  ): Promise<Ended> {
    const child = spawn(command, args, {
      cwd,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        PATH: process.env.PATH,
        HOME: this.directory,
        AWS_ACCESS_KEY_ID: 'AKIDEXAMPLE',
        AWS_SECRET_ACCESS_KEY: 'not-a-secret',
        AWS_REGION: 'us-east-1',
        AWS_EC2_METADATA_DISABLED: 'true',
        AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: 'true',
        ...env,
      },
    });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (data) => {
      stdout += data;
    });
    child.stderr.on('data', (data) => {
      stderr += data;
    });
    return new Promise((resolve, reject) => {
      child.on('error', reject);
      child.on('close', (code, signal) =>
        resolve({ exit: code ?? (signal as NodeJS.Signals), stdout, stderr }),
      );
    });
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}
