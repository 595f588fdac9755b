/** This tool and another coldsnap, as processes, with what they need to reach an emulator. */
import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { type Emulator, type EmulatorOptions, startEmulator } from '../../src/emulator/index.ts';
import { bin, needsBuild } from '../support/built.ts';

export interface Tool {
  readonly name: 'ours' | 'peer';
  readonly command: readonly [string, ...string[]];
}

const peerPath = process.env.COLDSNAP_PEER ?? '';

export const ours: Tool = {
  name: 'ours',
  command: [process.execPath, bin],
};
export const peer: Tool = { name: 'peer', command: [peerPath] };

/** Options of a test that needs the other tool: without it, it is skipped, and says why. */
export const needsPeer = {
  skip: peerPath === '' && 'no other coldsnap to try: give its path in COLDSNAP_PEER',
};
export const needsBoth = { skip: needsPeer.skip || needsBuild.skip || false };

const accessKeyId = 'AKIDINTEROP';
const secretAccessKey = 'a secret of the interop tests';

export interface Outcome {
  /** The exit code, or the name of the signal that ended the process. */
  readonly exit: number | NodeJS.Signals;
  readonly stdout: string;
  readonly stderr: string;
}

/** An emulator that verifies signatures, and a directory for a tool to run in; both are gone after the test. */
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
    const base = await mkdtemp(join(tmpdir(), 'coldsnap-interop-'));
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
    await mkdir(place.home);
    await mkdir(place.directory);
    return place;
  }

  path(name: string): string {
    return join(this.directory, name);
  }

  /** Starts a tool in the directory, with known credentials and region and a home of its own. */
  start(tool: Tool, words: readonly string[], env: Readonly<Record<string, string | undefined>> = {}) {
    const [file, ...first] = tool.command;
    return spawn(file, [...first, ...words], {
      cwd: this.directory,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        PATH: process.env.PATH,
        HOME: this.home,
        AWS_ACCESS_KEY_ID: accessKeyId,
        AWS_SECRET_ACCESS_KEY: secretAccessKey,
        AWS_REGION: 'us-east-1',
        AWS_EC2_METADATA_DISABLED: 'true',
        ...env,
      },
    });
  }

  /** Runs a tool to its end, however that is. */
  run(
    tool: Tool,
    words: readonly string[],
    env?: Readonly<Record<string, string | undefined>>,
  ): Promise<Outcome> {
    const child = this.start(tool, words, env);
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

  /** Runs a tool against the emulator; resolves with its stdout. @throws when it exits with anything but 0 */
  async succeed(tool: Tool, ...words: string[]): Promise<string> {
    const { exit, stdout, stderr } = await this.run(tool, ['--endpoint', this.emulator.url, ...words]);
    if (exit !== 0) throw new Error(`${tool.name} ${words.join(' ')} ended with ${exit}: ${stderr}`);
    return stdout.trim();
  }

  /** A credentials file with a profile that has the known key, and the region. */
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
