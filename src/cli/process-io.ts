/** The real world, as the commands see it. */
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

/** The library with a stand-in for each function that it does not export. */
async function loadLibrary(): Promise<Library> {
  const [available, { ColdsnapError }]: [Partial<Library>, typeof import('../errors.ts')] = await Promise.all(
    [import('../index.ts'), import('../errors.ts')],
  );
  const missing = (name: string) => () =>
    Promise.reject(
      new ColdsnapError('permanent', 'NOT_AVAILABLE', `this version of coldsnap has no ${name}`),
    );
  return {
    downloadSnapshot: available.downloadSnapshot ?? missing('download'),
    uploadSnapshot: available.uploadSnapshot ?? missing('upload'),
    waitForSnapshot: available.waitForSnapshot ?? missing('wait'),
  };
}

export function processIo(): Io {
  return {
    stdout: process.stdout,
    stderr: process.stderr,
    env: process.env,
    clock,
    signals: process,
    exit: (code) => process.exit(code),
    library: loadLibrary,
    async startEmulator(options) {
      return (await import('../emulator/index.ts')).startEmulator(options);
    },
  };
}
