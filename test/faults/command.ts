/** Runs the command line as a child process, optionally under strace. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { compileProgram } from '../support/compile.ts';

/** Why strace cannot be used here; undefined where it can. */
export const noStrace: string | undefined = (() => {
  const { status, error, stderr } = spawnSync('strace', ['-qq', '-o', '/dev/null', 'true'], {
    encoding: 'utf8',
  });
  return status === 0 ? undefined : `strace does not work here: ${error?.message ?? stderr}`;
})();

/** Options of a test that needs strace. */
export const needsStrace: { skip?: string } = noStrace === undefined ? {} : { skip: noStrace };

export interface CommandOptions {
  /** The directory for journals of devices. */
  stateDirectory?: string;
  /** Milliseconds between saves of the journal. */
  checkpointMs?: number;
  /** strace's `-e` expressions, such as `inject=fsync:error=EIO:when=2`. strace counts calls per thread, so the pool has one. */
  strace?: readonly string[];
  /** Restricts strace to calls on this file. */
  stracePath?: string;
  /** The file for strace's output, with complete strings; discarded unless given. */
  trace?: string;
}

export interface Ended {
  /** The exit code, or the name of the signal that ended it. */
  readonly end: number | NodeJS.Signals;
  readonly stdout: string;
  readonly stderr: string;
}

export class Running {
  readonly process: ChildProcess;
  #stdout = '';
  #stderr = '';

  constructor(process: ChildProcess) {
    this.process = process;
    process.stdout?.on('data', (data) => {
      this.#stdout += data;
    });
    process.stderr?.on('data', (data) => {
      this.#stderr += data;
    });
  }

  /** Runs an action while the process is stopped by SIGSTOP. */
  async whilePaused(action: () => unknown): Promise<void> {
    this.process.kill('SIGSTOP');
    try {
      await action();
    } finally {
      this.process.kill('SIGCONT');
    }
  }

  /** Resolves when the process has written this to stderr. */
  async waitForStderr(text: string): Promise<void> {
    while (!this.#stderr.includes(text)) await once(this.process.stderr as Readable, 'data');
  }

  async ended(): Promise<Ended> {
    const [exitCode, signal] = (await once(this.process, 'close')) as [number | null, NodeJS.Signals];
    return { end: exitCode ?? signal, stdout: this.#stdout, stderr: this.#stderr };
  }
}

/** Shared by the tests of a file. */
let compiled: Promise<string> | undefined;

/** The file of the command line compiled from these sources: that of scripts/test.ts if it runs this test. */
export function compiledCommand(): Promise<string> {
  const given = process.env.COLDSNAP_TEST_COMMAND;
  compiled ??=
    given === undefined
      ? compileProgram({ file: fileURLToPath(new URL('child.ts', import.meta.url)) })
      : Promise.resolve(given);
  return compiled;
}

/** The command line compiled from these sources into a directory. */
export class Command {
  readonly #file: string;
  readonly #home: string;

  private constructor(file: string, home: string) {
    this.#file = file;
    this.#home = home;
  }

  static async compile(directory: string): Promise<Command> {
    const home = join(directory, 'coldsnap');
    mkdirSync(join(home, 'state'), { recursive: true });
    return new Command(await compiledCommand(), home);
  }

  /** The directory of the journals of devices. */
  get stateDirectory(): string {
    return join(this.#home, 'state');
  }

  start(endpoint: string, args: readonly string[], options: CommandOptions = {}): Running {
    const line = [process.execPath, this.#file, '--endpoint', endpoint, ...args];
    if (options.strace !== undefined) {
      const output =
        options.trace === undefined ? ['-s', '0', '-o', '/dev/null'] : ['-s', '99999', '-o', options.trace];
      const path = options.stracePath === undefined ? [] : ['-P', options.stracePath];
      const expressions = options.strace.flatMap((expression) => ['-e', expression]);
      // Faster, but strace cannot inject signals with it.
      const filter = options.strace.some((expression) => expression.includes(':signal='))
        ? []
        : ['--seccomp-bpf'];
      line.unshift('strace', '-f', ...filter, '-qq', '-y', ...output, ...path, ...expressions);
    }
    const [file, ...rest] = line as [string, ...string[]];
    const child = spawn(file, rest, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        PATH: process.env.PATH,
        HOME: this.#home,
        STATE_DIRECTORY: options.stateDirectory ?? this.stateDirectory,
        AWS_ACCESS_KEY_ID: 'AKIDEXAMPLE',
        AWS_SECRET_ACCESS_KEY: 'an example',
        AWS_REGION: 'us-east-1',
        AWS_EC2_METADATA_DISABLED: 'true',
        ...(options.strace === undefined ? {} : { UV_THREADPOOL_SIZE: '1' }),
        ...(options.checkpointMs === undefined
          ? {}
          : { COLDSNAP_TEST_CHECKPOINT_MS: String(options.checkpointMs) }),
      },
    });
    return new Running(child);
  }

  run(endpoint: string, args: readonly string[], options: CommandOptions = {}): Promise<Ended> {
    return this.start(endpoint, args, options).ended();
  }
}

/** The blocks that a journal lists as done; none without a journal. */
export function journalledBlocks(path: string): Set<number> {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    return new Set();
  }
  const { done } = JSON.parse(text) as { done: [number, number][] };
  const blocks = new Set<number>();
  for (const [start, end] of done) for (let block = start; block < end; block++) blocks.add(block);
  return blocks;
}
