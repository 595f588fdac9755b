import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { stripVTControlCharacters } from 'node:util';
import { shellQuote } from '../../src/cli/command-line.ts';
import { compileProgram } from '../support/compile.ts';
import { until } from '../support/until.ts';

const line = ['download', 'snap-1', 'disk.img'];

const temporary = mkdtempSync(join(tmpdir(), 'coldsnap-cli-'));
after(() => rmSync(temporary, { recursive: true, force: true }));

/** A FIFO without a writer. */
const fifo = join(temporary, 'fifo');

/** The file of child.ts, compiled. */
let childPath: string;
before(async () => {
  execFileSync('mkfifo', [fifo]);
  childPath = await compileProgram({ file: fileURLToPath(new URL('child.ts', import.meta.url)) });
});

/** A process of the command line and its output. */
class Running {
  readonly process: ChildProcess;
  stdout = '';
  stderr = '';

  constructor(words: string[], behaviour: string) {
    const env = { ...process.env, FAKE_LIBRARY: behaviour, FIFO: fifo };
    this.process = spawn(process.execPath, [childPath, ...words], {
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.process.stdout?.on('data', (data) => {
      this.stdout += data;
    });
    this.process.stderr?.on('data', (data) => {
      this.stderr += data;
    });
  }

  /** Resolves when stderr matches. */
  async until(pattern: RegExp): Promise<void> {
    while (!pattern.test(this.stderr)) await once(this.process.stderr!, 'data');
  }

  /** Resolves with the exit code, or with the name of the signal that ended the process. */
  async end(): Promise<number | NodeJS.Signals> {
    const [exitCode, signal] = await once(this.process, 'close');
    return exitCode ?? signal;
  }
}

describe('a process', { concurrency: 4 }, () => {
  test('exits with the exit code of the command', async () => {
    for (const [behaviour, exitCode] of [
      ['succeed', 0],
      ['fail', 3],
    ] as const) {
      assert.equal(await new Running(line, behaviour).end(), exitCode);
    }
  });

  for (const [signal, exitCode] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const) {
    test(`exits with ${exitCode} on ${signal} and prints how to resume`, async () => {
      const running = new Running(line, 'runUntilStopped');
      await running.until(/downloading/);
      running.process.kill(signal);
      assert.equal(await running.end(), exitCode);
      assert.match(running.stderr, /Run it again: coldsnap download snap-1 disk\.img\n$/);
    });
  }

  test('that does not stop exits on a second signal', async () => {
    const running = new Running(line, 'ignoreAbort');
    await running.until(/downloading/);
    running.process.kill('SIGINT');
    await running.until(/stopping/);
    // Until one comes too late to be the same signal, sent twice.
    const ended = running.end();
    await until(() => !running.process.kill('SIGINT'), ended);
    assert.equal(await ended, 'SIGINT', 'for a shell that is 130');
    assert.match(running.stderr, /second signal/);
  });

  test('that does not stop exits after five seconds', async () => {
    const running = new Running(line, 'ignoreAbort');
    await running.until(/downloading/);
    const start = performance.now();
    running.process.kill('SIGTERM');
    assert.equal(await running.end(), 'SIGTERM', 'for a shell that is 143');
    assert.ok(performance.now() - start > 4_500);
    assert.match(running.stderr, /did not stop within 5 s of SIGTERM/);
  });

  test('prints its status on SIGUSR2', async () => {
    const running = new Running(line, 'runUntilStopped');
    await running.until(/downloading/);
    running.process.kill('SIGUSR2');
    await running.until(/\n512\.0 MiB of 1\.0 GiB \(50 %\)/);
    running.process.kill('SIGTERM');
    assert.equal(await running.end(), 143);
  });

  test('whose stdout is closed exits silently with 141', async () => {
    const running = new Running(['download', '--no-progress', 'snap-1', '-'], 'writeStdout');
    await once(running.process.stdout!, 'data');
    running.process.stdout!.destroy();
    assert.equal(await running.end(), 141);
    assert.equal(running.stderr, '');
  });

  test('whose stdout is closed before the result does not crash', async () => {
    const running = new Running(['upload', '--quiet', 'disk.img'], 'succeed');
    running.process.stdout!.destroy();
    assert.equal(await running.end(), 141);
    assert.equal(running.stderr, '');
  });

  test('whose stderr is closed continues', async () => {
    const running = new Running(['upload', 'disk.img'], 'succeed');
    running.process.stderr!.destroy();
    assert.equal(await running.end(), 0);
    assert.equal(running.stdout, 'snap-new\n');
  });

  test('with an empty event loop does not exit with 0', async () => {
    assert.notEqual(await new Running(line, 'waitForNothing').end(), 0);
  });

  test('reports an uncaught error', async () => {
    const running = new Running(line, 'crash');
    assert.equal(await running.end(), 1);
    assert.match(running.stderr, /coldsnap: internal error: Error: a bug\n {2}This is a bug/);
  });

  test('prints warnings of Node only with --verbose', async () => {
    const normal = new Running(line, 'warn');
    await normal.end();
    assert.doesNotMatch(normal.stderr, /deprecated/);
    const verbose = new Running(['--verbose', ...line], 'warn');
    await verbose.end();
    assert.match(verbose.stderr, /deprecated/);
  });
});

const noScript =
  spawnSync('script', ['--version']).status === 0 ? false : 'script (util-linux) is not installed';

describe('on a terminal', { skip: noScript }, () => {
  /** Runs a command line on a pseudo-terminal, not in CI where progress is lines, and returns its output. */
  function onTerminal(shellWords: string, behaviour: string): string {
    const command = `stty rows 24 cols 80; ${[process.execPath, childPath].map(shellQuote).join(' ')} ${shellWords}`;
    return execFileSync(
      'script',
      ['--quiet', '--return', '--command', command, join(temporary, 'typescript')],
      {
        env: { ...process.env, FAKE_LIBRARY: behaviour, CI: '', TERM: 'xterm', SHELL: '/bin/sh' },
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    );
  }

  test('progress is drawn when stdout is redirected, and stdout has only the result', () => {
    const file = join(temporary, 'result');
    const text = onTerminal(`upload disk.img > ${shellQuote(file)}`, 'runUntilDrawn');
    assert.ok(text.includes('\x1b[?25l'), 'the cursor is hidden');
    assert.match(stripVTControlCharacters(text), /disk\.img to a new snapshot/);
    assert.match(stripVTControlCharacters(text), /uploaded disk\.img to snap-new: /);
    assert.ok(text.lastIndexOf('\x1b[?25h') > text.lastIndexOf('\x1b[?25l'), 'the cursor is back');
    assert.equal(readFileSync(file, 'utf8'), 'snap-new\n');
  });

  test('Ctrl-C exits with 130 and restores the cursor', () => {
    const text = onTerminal('download snap-1 disk.img; echo code $?', 'interruptItself');
    assert.match(text, /code 130/);
    assert.ok(text.lastIndexOf('\x1b[?25h') > text.lastIndexOf('\x1b[?25l'), 'the cursor is back');
    assert.match(stripVTControlCharacters(text), /Run it again: coldsnap download snap-1 disk\.img/);
  });
});

describe('bin/coldsnap.js', () => {
  /** A copy of bin/ with a dist/ that has this main. */
  function install(main: string | undefined): string {
    const home = mkdtempSync(join(temporary, 'bin-'));
    cpSync(fileURLToPath(new URL('../../bin', import.meta.url)), join(home, 'bin'), { recursive: true });
    writeFileSync(join(home, 'package.json'), '{"type":"module"}');
    if (main !== undefined) {
      mkdirSync(join(home, 'dist/cli'), { recursive: true });
      writeFileSync(join(home, 'dist/cli/main.js'), main);
    }
    return join(home, 'bin/coldsnap.js');
  }

  function runBin(bin: string, env: Record<string, string | undefined> = {}, nodeOptions: string[] = []) {
    const options = {
      env: { ...process.env, UV_THREADPOOL_SIZE: undefined, ...env },
      encoding: 'utf8' as const,
    };
    return spawnSync(process.execPath, [...nodeOptions, bin], options);
  }

  const built = existsSync(new URL('../../dist/cli/main.js', import.meta.url)) ? false : 'not built';
  test('runs the built program', { skip: built }, () => {
    const bin = fileURLToPath(new URL('../../bin/coldsnap.js', import.meta.url));
    for (const words of [['--version'], ['--help'], ['help', 'exit-codes'], ['completion', 'bash']]) {
      const { status, stdout, stderr } = spawnSync(process.execPath, [bin, ...words], { encoding: 'utf8' });
      assert.deepEqual([status, stderr], [0, ''], words.join(' '));
      assert.notEqual(stdout, '');
    }
    // An error of the library is a ColdsnapError of the command line, although both are bundled.
    const refused = spawnSync(process.execPath, [bin, 'download', 'snap-1', '/proc/self/cwd/']);
    assert.equal(refused.status, 2);
  });

  test('a command that connects does not load fetch', { skip: built }, () => {
    const bin = fileURLToPath(new URL('../../bin/coldsnap.js', import.meta.url));
    const report = join(temporary, 'modules.json');
    const preload = join(temporary, 'report-modules.cjs');
    writeFileSync(
      preload,
      `process.on('exit', () =>
        require('node:fs').writeFileSync(${JSON.stringify(report)}, JSON.stringify(process.moduleLoadList)));`,
    );
    const words = ['diff', 'snap-0123456789abcdef0', 'snap-0123456789abcdef1', '--retry-for', '1s'];
    const { status, stderr } = spawnSync(
      process.execPath,
      ['--require', preload, bin, '--endpoint', 'http://127.0.0.1:9', ...words],
      {
        env: { ...process.env, AWS_REGION: 'us-east-1', AWS_ACCESS_KEY_ID: 'A', AWS_SECRET_ACCESS_KEY: 's' },
        encoding: 'utf8',
      },
    );
    assert.match(stderr, /127\.0\.0\.1:9/);
    assert.notEqual(status, 0);
    const loaded = JSON.parse(readFileSync(report, 'utf8')) as string[];
    assert.ok(loaded.includes('NativeModule _http_client'));
    assert.ok(!loaded.some((name) => name.includes('undici')));
  });

  test('a full stdout is an error, also of --version', { skip: built }, () => {
    const bin = fileURLToPath(new URL('../../bin/coldsnap.js', import.meta.url));
    const full = openSync('/dev/full', 'w');
    for (const words of [['--version'], ['version'], ['--help'], ['completion', 'bash']]) {
      const { status, stderr } = spawnSync(process.execPath, [bin, ...words], {
        encoding: 'utf8',
        stdio: ['ignore', full, 'pipe'],
      });
      assert.equal(status, 1, words.join(' '));
      assert.match(stderr, /^coldsnap: cannot write stdout: no space left on device\n/);
    }
    closeSync(full);
  });

  test('output of which the disk takes only a part is an error', { skip: built }, () => {
    const bin = fileURLToPath(new URL('../../bin/coldsnap.js', import.meta.url));
    const file = join(temporary, 'completion');
    const script = 'ulimit -f 8; exec "$0" "$1" completion bash >"$2"';
    const { status, stderr } = spawnSync('sh', ['-c', script, process.execPath, bin, file], {
      encoding: 'utf8',
    });
    assert.equal(status, 1, stderr);
    assert.match(stderr, /^coldsnap: cannot write stdout: file too large\n/);
  });

  test('exits with the exit code that main returns', () => {
    const bin = install('export const main = async () => 42;');
    assert.equal(runBin(bin).status, 42);
  });

  test('sizes the thread pool by the number of processors', () => {
    // Starts more work than there are threads, and counts the threads then.
    const bin = install(`
      import { pbkdf2 } from 'node:crypto';
      import { readdirSync } from 'node:fs';
      export async function main() {
        const threads = () => readdirSync('/proc/self/task').length;
        const work = Array.from({ length: 32 }, () => new Promise((done) => pbkdf2('a', 'b', 2000, 64, 'sha512', done)));
        const count = threads();
        await Promise.all(work);
        console.log(process.env.UV_THREADPOOL_SIZE, count);
        return 0;
      }`);
    const expected = Math.min(Math.max(availableParallelism(), 2), 8);
    const [size, threads] = runBin(bin).stdout.split(' ').map(Number);
    assert.equal(size, expected);
    const [given, more] = runBin(bin, { UV_THREADPOOL_SIZE: '12' }).stdout.split(' ').map(Number);
    assert.equal(given, 12);
    assert.equal(more! - threads!, 12 - expected);
  });

  test('names the command that builds a missing dist/', () => {
    const { status, stderr } = runBin(install(undefined));
    assert.equal(status, 1);
    assert.equal(stderr, 'coldsnap: it is not built: dist/ is missing\n  Run: npm run build\n');
  });

  test('names a file of its own that it cannot read, and what helps', () => {
    const fail = (code: string, reason: string) => `export async function main() {
      const error = new Error("${code}: ${reason}, open '/x/run.js'");
      throw Object.assign(error, { code: '${code}', syscall: 'open', path: '/x/run.js' });
    }`;
    const stderrOf = (main: string) => {
      const { status, stderr } = runBin(install(main));
      assert.equal(status, 1);
      return stderr;
    };
    assert.equal(
      stderrOf(fail('EMFILE', 'too many open files')),
      'coldsnap: cannot read /x/run.js, a part of this program: too many open files\n' +
        '  Raise the limit of open files (ulimit -n).\n',
    );
    assert.equal(
      stderrOf(fail('EACCES', 'permission denied')),
      'coldsnap: cannot read /x/run.js, a part of this program: permission denied\n' +
        '  Make the installation readable for this user.\n',
    );
  });

  test('rejects a Node.js that is too old', () => {
    const preload = join(temporary, 'old-node.cjs');
    writeFileSync(preload, `Object.defineProperty(process.versions, 'node', { value: '18.19.0' });`);
    const { status, stderr } = runBin(install('export const main = async () => 0;'), {}, [
      '--require',
      preload,
    ]);
    assert.equal(status, 1);
    assert.match(
      stderr,
      /^coldsnap: this needs Node\.js 20\.19 or later, and .* is 18\.19\.0\n {2}Install a newer/,
    );
  });
});
