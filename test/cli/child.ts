/** The command line as a process, with a library that behaves as FAKE_LIBRARY says. */
import { open } from 'node:fs';
import { main } from '../../src/cli/main.ts';
import { processIo } from '../../src/cli/process-io.ts';
import { ColdsnapError } from '../../src/errors.ts';
import type { DownloadOptions } from '../../src/transfer/options.ts';
import { until } from '../support/until.ts';
import { downloadResult, makeWorld, progressOf, startEvent, uploadResult } from './support.ts';

/** The text written to stderr. */
let drawn = '';
const write = process.stderr.write.bind(process.stderr);
process.stderr.write = ((chunk: string | Uint8Array) => {
  drawn += chunk;
  return write(chunk);
}) as typeof write;

const behaviours: Record<string, (options: DownloadOptions) => Promise<void>> = {
  async succeed() {},
  async fail() {
    throw new ColdsnapError('refused', 'TARGET_READ_ONLY', '/dev/sdb is a read-only device', {
      hint: 'Choose another device.',
    });
  },
  /** Runs until it is stopped. */
  runUntilStopped: (options) =>
    new Promise((_resolve, reject) => {
      const alive = setInterval(() => {}, 1000);
      options.signal?.addEventListener('abort', () => {
        clearInterval(alive);
        reject(options.signal?.reason);
      });
    }),
  /** Interrupts itself, as Ctrl-C would. */
  async interruptItself(options) {
    const stopped = behaviours.runUntilStopped!(options);
    process.kill(process.pid, 'SIGINT');
    await stopped;
  },
  /** Runs until the display has been drawn. */
  runUntilDrawn: () => until(() => drawn.includes('to a new snapshot')),
  /** Ignores the AbortSignal and holds all threads: opening a FIFO waits for a writer. */
  ignoreAbort: () =>
    new Promise(() => {
      for (let count = 0; count < 100; count++) open(process.env.FIFO!, () => {});
      setInterval(() => {}, 1000);
    }),
  /** Waits for an event that cannot happen. */
  waitForNothing: () => new Promise(() => {}),
  /** An uncaught error. */
  crash: () => new Promise(() => setImmediate(() => fail('a bug'))),
  /** Writes an image on stdout until it is closed. */
  async writeStdout() {
    for (;;) {
      await new Promise<void>((resolve, reject) => {
        process.stdout.write(Buffer.alloc(65536), (error) => (error ? reject(error) : resolve()));
      });
    }
  },
  async warn() {
    process.emitWarning('something is deprecated');
    await new Promise(setImmediate);
  },
};

function fail(message: string): never {
  throw new Error(message);
}

const behave = behaviours[process.env.FAKE_LIBRARY ?? 'succeed'] ?? fail('no such behaviour');

const exitCode = await main({
  ...processIo(),
  library: async () => ({
    ...(await makeWorld().io.library()),
    async downloadSnapshot(options) {
      options.onEvent?.(startEvent);
      options.onEvent?.({
        type: 'progress',
        ...progressOf({ bytesDone: 2 ** 29, bytesTransferred: 2 ** 29 }),
      });
      await behave(options);
      return downloadResult;
    },
    async uploadSnapshot() {
      await behave({ snapshotId: 'snap-new', target: '' });
      return uploadResult;
    },
  }),
});
process.exit(exitCode);
