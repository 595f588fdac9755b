/** The environment of a command in a real process. */
import { isatty } from 'node:tty';
import { exitCodeOfSignal } from './exit-codes.ts';
import { fileOutput } from './file-output.ts';
import { isHangupIgnored } from './hangup.ts';
import type { Clock, Io, SignalSource } from './io.ts';

const clock: Clock = {
  now: () => performance.now(),
  every(ms, callback) {
    const timer = setInterval(callback, ms).unref();
    return () => clearInterval(timer);
  },
  after(ms, callback) {
    const timer = setTimeout(callback, ms).unref();
    return () => clearTimeout(timer);
  },
};

async function ask(question: string, signal?: AbortSignal): Promise<string> {
  const { createInterface } = await import('node:readline/promises');
  // Not in raw mode, in which Ctrl-C would be no signal.
  const terminal = createInterface({ input: process.stdin, output: process.stderr, terminal: false });
  // Ctrl-D closes it.
  const closed = new Promise<string>((resolve) => terminal.once('close', () => resolve('')));
  const answer = signal === undefined ? terminal.question(question) : terminal.question(question, { signal });
  try {
    return await Promise.race([answer, closed]);
  } finally {
    terminal.close();
  }
}

/** The signals of a process that ignores SIGHUP. */
function ignoringHangup(): SignalSource {
  process.on('SIGHUP', () => {});
  return {
    on: (signal, listener) => signal !== 'SIGHUP' && process.on(signal, listener),
    off: (signal, listener) => process.off(signal, listener),
  };
}

export function processIo(): Io {
  return {
    stdout: fileOutput(1) ?? process.stdout,
    stderr: process.stderr,
    env: process.env,
    clock,
    signals: isHangupIgnored() ? ignoringHangup() : process,
    endBy(signal) {
      // process.exit() waits for queued work of the addon's threads, on a slow disk for minutes. A shell reports the
      // same exit code for a signal.
      process.removeAllListeners(signal);
      process.kill(process.pid, signal);
      // The first process of a container ignores the signal.
      process.exit(exitCodeOfSignal(signal));
    },
    suspend() {
      process.kill(process.pid, 'SIGTSTP');
    },
    async library() {
      const [library, { setFlagsFromString }] = await Promise.all([import('../index.ts'), import('node:v8')]);
      // V8's young generation is large enough for the requests in flight. Growing it costs up to 18 MiB and saves no
      // CPU time.
      setFlagsFromString('--semi-space-growth-factor=1');
      // Few objects outlive a request. Collecting before the heap has doubled takes a few ms a GiB and keeps it small.
      setFlagsFromString('--heap-growing-percent=50');
      return library;
    },
    // Making process.stdin takes 3 ms.
    ask: isatty(0) && isatty(2) ? ask : undefined,
    async hashKernel() {
      const { sha256Kernels } = await import('../native/index.ts');
      try {
        return sha256Kernels().active;
      } catch (error) {
        return `none: ${(error as Error).message}`;
      }
    },
    async startEmulator(options) {
      return (await import('../emulator/index.ts')).startEmulator(options);
    },
  };
}
