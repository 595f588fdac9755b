/** The real world, as the commands see it. */
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
    exit: (code) => process.exit(code),
    library: () => import('../index.ts'),
    async startEmulator(options) {
      return (await import('../emulator/index.ts')).startEmulator(options);
    },
  };
}
