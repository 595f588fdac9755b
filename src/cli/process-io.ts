/** The real world, as the commands see it. */
import { exitCodeOfSignal } from './exit-codes.ts';
import type { Clock, Io } from './io.ts';

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

export function processIo(): Io {
  return {
    stdout: process.stdout,
    stderr: process.stderr,
    env: process.env,
    clock,
    signals: process,
    endBy(signal) {
      // process.exit() waits for all that the addon's threads were given: on a slow disk, for minutes. A shell sees the
      // same exit code either way.
      process.removeAllListeners(signal);
      process.kill(process.pid, signal);
      // The first process of a container does not die by it.
      process.exit(exitCodeOfSignal(signal));
    },
    async library() {
      const [library, { setFlagsFromString }] = await Promise.all([import('../index.ts'), import('node:v8')]);
      // By now V8's young generation has room for all that requests in flight need. Left to itself it would grow
      // eightfold, all for garbage: up to 18 MiB more memory, and no less processor time.
      setFlagsFromString('--semi-space-growth-factor=1');
      return library;
    },
    async startEmulator(options) {
      return (await import('../emulator/index.ts')).startEmulator(options);
    },
  };
}
