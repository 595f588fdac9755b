/** Runs coldsnap as a process, in its own directory and against its own emulator. */
import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { type Emulator, type EmulatorOptions, startEmulator } from '../../src/emulator/index.ts';
import { bin } from './built.ts';

export interface Tool {
  readonly name: string;
  readonly command: readonly [string, ...string[]];
}

export const ours: Tool = { name: 'ours', command: [process.execPath, bin] };

const accessKeyId = 'AKIDWORKPLACE';
const secretAccessKey = 'a secret of the tests';

/** Variables to set; undefined removes one. */
export type Environment = Readonly<Record<string, string | undefined>>;

export interface Outcome {
  /** The exit code, or the name of the signal that ended the process. */
  readonly exit: number | NodeJS.Signals;
  readonly stdout: string;
  readonly stderr: string;
}

/** An emulator that verifies signatures, and a directory for a tool to run in; both are removed after the test. */
export class Workplace {
  readonly emulator: Emulator;
  readonly directory: string;
  readonly home: string;

  private constructor(emulator: Emulator, base: string) {
    this.emulator = emulator;
    this.directory = join(base, 'work');
    this.home = join(base, 'home');
  }

  static async for(t: TestContext, options: EmulatorOptions = {}): Promise<Workplace> {
    const base = await mkdtemp(join(tmpdir(), 'coldsnap-test-'));
    const emulator = await startEmulator({
      region: 'us-east-1',
      credentials: { [accessKeyId]: { secretAccessKey } },
      dataDirectory: join(base, 'snapshots'),
      ...options,
    });
    t.after(async () => {
      await emulator.close();
      await rm(base, { recursive: true, force: true });
    });
    const place = new Workplace(emulator, base);
    await mkdir(place.directory);
    await mkdir(join(place.home, 'bin'), { recursive: true });
    await symlink(bin, join(place.home, 'bin/coldsnap'));
    return place;
  }

  path(name: string): string {
    return join(this.directory, name);
  }

  /** Starts a tool in the directory, with known credentials and region and its own home. */
  start(tool: Tool, args: readonly string[], env: Environment = {}) {
    const [file, ...first] = tool.command;
    return spawn(file, [...first, ...args], {
      cwd: this.directory,
      stdio: ['pipe', 'pipe', 'pipe'],
      env: this.environment(env),
    });
  }

  /** The environment of a tool, with changes. */
  environment(changes: Environment): Environment {
    return {
      PATH: `${this.home}/bin:${process.env.PATH}`,
      HOME: this.home,
      // Root's would be shared with the machine.
      STATE_DIRECTORY: `${this.home}/state`,
      AWS_ACCESS_KEY_ID: accessKeyId,
      AWS_SECRET_ACCESS_KEY: secretAccessKey,
      AWS_REGION: 'us-east-1',
      AWS_EC2_METADATA_DISABLED: 'true',
      ...changes,
    };
  }

  /** Runs a tool to its end, with an empty stdin. */
  run(tool: Tool, args: readonly string[], env?: Environment): Promise<Outcome> {
    const child = this.start(tool, args, env);
    child.stdin.end();
    let stdout = '';
    let stderr = '';
    let length = 0;
    child.stdout.on('data', (data: Buffer) => {
      length += data.length;
      if (length <= 65_536) stdout += data;
    });
    child.stderr.on('data', (data: Buffer) => {
      stderr += data;
    });
    return new Promise((resolve, reject) => {
      child.on('error', reject);
      child.on('close', (code, signal) => {
        const out = length <= 65_536 ? stdout : `<${length} bytes>`;
        resolve({ exit: code ?? (signal as NodeJS.Signals), stdout: out, stderr });
      });
    });
  }

  /** Runs a tool against the emulator; resolves with its stdout. @throws when it does not exit with 0 */
  async succeed(tool: Tool, ...args: string[]): Promise<string> {
    const { exit, stdout, stderr } = await this.run(tool, ['--endpoint', this.emulator.url, ...args]);
    if (exit !== 0) throw new Error(`${tool.name} ${args.join(' ')} ended with ${exit}: ${stderr}`);
    return stdout.trim();
  }

  /** Runs a shell script in which `coldsnap` is this tool and connects to the emulator. */
  shell(script: string, env: Environment = {}): Promise<Outcome> {
    const sh: Tool = { name: 'sh', command: ['sh', '-eu', '-c', script] };
    return this.run(sh, [], { AWS_ENDPOINT_URL: this.emulator.url, ...env });
  }

  /** A credentials file with a profile that has the known key and the region. */
  get credentialsFile(): string {
    return [
      '[elsewhere]',
      `aws_access_key_id = ${accessKeyId}`,
      `aws_secret_access_key = ${secretAccessKey}`,
      'region = us-east-1',
      '',
    ].join('\n');
  }
}
