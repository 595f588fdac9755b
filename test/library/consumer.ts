/** A project that has the packed package in its node_modules. */
import { execFile, spawn } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
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

  /** Packs the project and installs the tarball as npm would, but with dependencies linked instead of downloaded. */
  async install(): Promise<void> {
    const packing = ['pack', '--ignore-scripts', '--json', '--pack-destination', this.directory];
    const { stdout } = await run('npm', packing, { cwd: project, maxBuffer: 2 ** 24 });
    const [{ filename, files }] = JSON.parse(stdout) as [{ filename: string; files: { path: string }[] }];
    this.packed.push(...files.map(({ path }) => path));
    const installed = this.path('node_modules/coldsnap');
    mkdirSync(installed, { recursive: true });
    await run('tar', ['-xzf', this.path(filename), '-C', installed, '--strip-components=1']);
    mkdirSync(join(installed, 'build/Release'), { recursive: true });
    cpSync(join(project, 'build/Release/coldsnap.node'), join(installed, 'build/Release/coldsnap.node'));
    const manifest = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8')) as {
      dependencies: Record<string, string>;
    };
    // Link only the declared dependencies: importing any other one fails.
    for (const name of Object.keys(manifest.dependencies)) this.#link(name);
    writeFileSync(this.path('package.json'), JSON.stringify({ name: 'consumer', private: true }));
  }

  /** Links a package from the project's node_modules. */
  #link(name: string): void {
    mkdirSync(dirname(this.path('node_modules', name)), { recursive: true });
    symlinkSync(join(project, 'node_modules', name), this.path('node_modules', name));
  }

  /** Links the type declarations of Node, which type checking needs. */
  linkTypes(): void {
    this.#link('@types/node');
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
