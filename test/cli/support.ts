/** A fake environment for the command line: streams in memory, a manual clock, a library with canned results. */

import { EventEmitter } from 'node:events';
import { Writable } from 'node:stream';
import { exitCodeOfSignal } from '../../src/cli/exit-codes.ts';
import type { Clock, Io, Library } from '../../src/cli/io.ts';
import { run } from '../../src/cli/run.ts';
import type { EmulatorOptions } from '../../src/emulator/options.ts';
import type { TransferEvent, TransferProgress } from '../../src/transfer/events.ts';
import type {
  CopyResult,
  DownloadOptions,
  DownloadResult,
  UploadOptions,
  UploadResult,
  VerifyResult,
  WaitOptions,
  WaitResult,
} from '../../src/transfer/options.ts';
import type { DiffResult, DryRun, InfoResult } from '../../src/transfer/reports.ts';

export class MemoryStream extends Writable {
  text = '';
  isTTY = false;
  columns = 80;

  override _write(chunk: Buffer, _encoding: string, callback: () => void): void {
    this.text += chunk.toString();
    callback();
  }

  get lines(): string[] {
    return this.text.split('\n').slice(0, -1);
  }
}

export class HandClock implements Clock {
  #now = 1_000_000;
  #timers = new Set<{ at: number; every: number | undefined; callback: () => void }>();

  now(): number {
    return this.#now;
  }

  every(ms: number, callback: () => void): () => void {
    return this.#add(ms, ms, callback);
  }

  after(ms: number, callback: () => void): () => void {
    return this.#add(ms, undefined, callback);
  }

  #add(ms: number, every: number | undefined, callback: () => void): () => void {
    const timer = { at: this.#now + ms, every, callback };
    this.#timers.add(timer);
    return () => this.#timers.delete(timer);
  }

  /** Advances the time by `ms`; due timers fire in order. */
  advance(ms: number): void {
    const end = this.#now + ms;
    for (;;) {
      const due = [...this.#timers].filter((timer) => timer.at <= end).sort((a, b) => a.at - b.at)[0];
      if (!due) break;
      this.#now = due.at;
      if (due.every === undefined) this.#timers.delete(due);
      else due.at += due.every;
      due.callback();
    }
    this.#now = end;
  }

  get running(): number {
    return this.#timers.size;
  }
}

export interface World {
  io: Io;
  stdout: MemoryStream;
  stderr: MemoryStream;
  clock: HandClock;
  signals: EventEmitter;
  /** Exit codes of signals that ended the process. */
  exits: number[];
  env: Record<string, string | undefined>;
  /** The options that the library was called with. */
  downloads: DownloadOptions[];
  uploads: UploadOptions[];
  waits: WaitOptions[];
  emulators: EmulatorOptions[];
  /** Runs a command line, given as words or as a string to split at spaces. */
  run(argv: string | readonly string[]): Promise<number>;
}

export function progressOf(given: Partial<TransferProgress> = {}): TransferProgress {
  return {
    bytesDone: 0,
    bytesTotal: 2 ** 30,
    bytesToMove: 2 ** 30,
    bytesToMoveKnown: true,
    bytesTransferred: 0,
    blocksTransferred: 0,
    bytesSkipped: 0,
    bytesZero: 0,
    bytesResumed: 0,
    retries: 0,
    throttles: 0,
    requestsPerSecond: 1000,
    requestsInFlight: 64,
    transferMs: 0,
    elapsedMs: 0,
    ...given,
  };
}

const finished = progressOf({
  bytesDone: 2 ** 30,
  bytesToMove: 2 ** 29,
  bytesTransferred: 2 ** 29,
  blocksTransferred: 1024,
  bytesSkipped: 2 ** 29,
  bytesZero: 2 ** 29,
  retries: 3,
  transferMs: 2000,
  elapsedMs: 2000,
});

export const downloadResult: DownloadResult = {
  ...finished,
  snapshotId: 'snap-1',
  volumeSize: 2 ** 30,
  blockSize: 2 ** 19,
};
export const uploadResult: UploadResult = { ...downloadResult, snapshotId: 'snap-new', status: 'completed' };
export const copyResult: CopyResult = {
  ...downloadResult,
  source: { snapshotId: 'snap-1', region: 'us-east-1' },
  snapshotId: 'snap-new',
  region: 'eu-west-1',
  status: 'completed',
  blocksSkipped: 0,
  zerosSent: 0,
};
export const verifyResult: VerifyResult = {
  ...downloadResult,
  equal: true,
  bytesCompared: 2 ** 30,
  differences: [],
  differencesTotal: 0,
  differsUnlisted: false,
};
export const waitResult: WaitResult = {
  snapshotId: 'snap-1',
  status: 'completed',
  attempts: 4,
  elapsedMs: 6000,
};

export const infoResult: InfoResult = {
  snapshotId: 'snap-1',
  volumeSize: 2 ** 30,
  blockSize: 2 ** 19,
  blocks: 2,
  bytes: 2 ** 20,
  ranges: 1,
  cost: { requests: 3, dollars: 0.0000066, seconds: 0.002 },
};

export const diffResult: DiffResult = {
  first: 'snap-1',
  second: 'snap-2',
  volumeSize: 2 ** 30,
  blockSize: 2 ** 19,
  changed: { blocks: 4, bytes: 2 ** 21 },
  added: { blocks: 2, bytes: 2 ** 20 },
  gone: { blocks: 1, bytes: 2 ** 19 },
  cost: { requests: 7, dollars: 0.0000186, seconds: 0.006 },
};

export const dryRun: DryRun = {
  dryRun: true,
  operation: 'download',
  snapshotId: 'snap-1',
  path: 'disk.img',
  volumeSize: 2 ** 30,
  blocks: 2,
  bytes: 2 ** 20,
  requests: 3,
  dollars: 0.0000066,
  seconds: 0.002,
  bytesResumed: 0,
};

export const startEvent: TransferEvent = {
  type: 'start',
  operation: 'download',
  snapshotId: 'snap-1',
  path: 'disk.img',
  volumeSize: 2 ** 30,
  blockSize: 2 ** 19,
  bytesResumed: 0,
};

/** An environment whose library succeeds immediately, except for the given functions. */
export function makeWorld(library: Partial<Library> = {}): World {
  const stdout = new MemoryStream();
  const stderr = new MemoryStream();
  const clock = new HandClock();
  const signals = new EventEmitter();
  const env = {};
  const exits: number[] = [];
  const downloads: DownloadOptions[] = [];
  const uploads: UploadOptions[] = [];
  const waits: WaitOptions[] = [];
  const emulators: EmulatorOptions[] = [];
  const io: Io = {
    stdout,
    stderr,
    env,
    clock,
    signals,
    endBy: (signal) => {
      exits.push(exitCodeOfSignal(signal));
    },
    suspend: () => {},
    library: async () => ({
      async downloadSnapshot(options) {
        downloads.push(options);
        return library.downloadSnapshot?.(options) ?? downloadResult;
      },
      downloadToTargets: async (options) =>
        library.downloadToTargets?.(options) ?? {
          ...downloadResult,
          targets: options.targets.map((path) => ({ path, ok: true })),
        },
      async uploadSnapshot(options) {
        uploads.push(options);
        return library.uploadSnapshot?.(options) ?? uploadResult;
      },
      async waitForSnapshot(options) {
        waits.push(options);
        return library.waitForSnapshot?.(options) ?? waitResult;
      },
      copySnapshot: async (options) => library.copySnapshot?.(options) ?? copyResult,
      verifySnapshot: async (options) => library.verifySnapshot?.(options) ?? verifyResult,
      listSnapshots: async (options) => library.listSnapshots?.(options) ?? [],
      listPendingSnapshots: async (options) => library.listPendingSnapshots?.(options) ?? [],
      deletePendingSnapshots: async (options) =>
        library.deletePendingSnapshots?.(options) ?? { deleted: [], kept: [] },
      snapshotInfo: async (options) => library.snapshotInfo?.(options) ?? infoResult,
      diffSnapshots: async (options) => library.diffSnapshots?.(options) ?? diffResult,
      estimateDownload: async (options) => library.estimateDownload?.(options) ?? dryRun,
      estimateDownloadToTargets: async (options) =>
        library.estimateDownloadToTargets?.(options) ?? {
          ...dryRun,
          operation: 'download',
          snapshotId: options.snapshotId,
          targets: options.targets.map((path) => ({ path, blocks: 2, bytes: 2 ** 20, bytesResumed: 0 })),
        },
      estimateUpload: async (options) =>
        library.estimateUpload?.(options) ?? { ...dryRun, operation: 'upload' },
      estimateCopy: async (options) => library.estimateCopy?.(options) ?? { ...dryRun, operation: 'copy' },
      readImageLayout: async (path) =>
        library.readImageLayout?.(path) ?? {
          path,
          sizeBytes: 2 ** 30,
          isDevice: false,
          partitionsKnown: false,
          partitions: [],
        },
      listDevices: async (options) => library.listDevices?.(options) ?? [],
    }),
    ask: undefined,
    hashKernel: async () => 'sha-ni',
    startEmulator: async (options) => {
      emulators.push(options);
      return { url: 'http://127.0.0.1:4590', close: async () => {} };
    },
  };
  return {
    io,
    stdout,
    stderr,
    clock,
    signals,
    exits,
    env,
    downloads,
    uploads,
    waits,
    emulators,
    run: (argv) => run(typeof argv === 'string' ? argv.split(' ').filter(Boolean) : argv, io),
  };
}

/** The options without the hooks that every call gets. */
export function withoutHooks(options: object | undefined): object {
  const { signal, onEvent, onResult, ...rest } = { ...options } as Record<string, unknown>;
  return rest;
}
