/** The real world, as the commands see it. */
import { ColdsnapError } from '../errors.ts';
import type { Clock, Io, Library } from './io.ts';

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

/** Stands in for what this version of the library does not export. */
function missing(name: string): () => Promise<never> {
  return () =>
    Promise.reject(
      new ColdsnapError('permanent', 'NOT_AVAILABLE', `this version of coldsnap has no ${name}`),
    );
}

export function processIo(): Io {
  return {
    stdout: process.stdout,
    stderr: process.stderr,
    env: process.env,
    clock,
    signals: process,
    exit: (code) => process.exit(code),
    async library() {
      const available: Partial<Library> = await import('../index.ts');
      return {
        downloadSnapshot: available.downloadSnapshot ?? missing('download'),
        uploadSnapshot: available.uploadSnapshot ?? missing('upload'),
        waitForSnapshot: available.waitForSnapshot ?? missing('wait'),
      };
    },
    async startEmulator(options) {
      return (await import('../emulator/index.ts')).startEmulator(options);
    },
  };
}
