/** Everything a command touches besides its options; tests hand in their own. */
import type { Writable } from 'node:stream';
import type { EmulatorOptions } from '../emulator/options.ts';
import type {
  ClientOptions,
  DeletePendingOptions,
  DeletePendingResult,
  DownloadOptions,
  DownloadResult,
  PendingSnapshot,
  ServiceOptions,
  UploadOptions,
  UploadResult,
  WaitOptions,
  WaitResult,
} from '../transfer/options.ts';

/** An output stream that may be a terminal. */
export type TerminalStream = Writable & { isTTY?: boolean; columns?: number; rows?: number };

/** Time, injected so that tests need not wait. None of its timers keeps the process alive. */
export interface Clock {
  /** Milliseconds since an arbitrary moment; never runs backwards. */
  now(): number;
  /** Calls back every `ms` milliseconds until the returned function is called. */
  every(ms: number, callback: () => void): () => void;
  /** Calls back once after `ms` milliseconds unless the returned function is called first. */
  after(ms: number, callback: () => void): () => void;
}

/** Where signals come from: `process` outside of tests. */
export interface SignalSource {
  on(signal: NodeJS.Signals, listener: () => void): unknown;
  off(signal: NodeJS.Signals, listener: () => void): unknown;
}

/** The part of the library that commands call. */
export interface Library {
  downloadSnapshot(options: DownloadOptions): Promise<DownloadResult>;
  uploadSnapshot(options: UploadOptions): Promise<UploadResult>;
  waitForSnapshot(options: WaitOptions): Promise<WaitResult>;
  listPendingSnapshots(options?: ClientOptions): Promise<PendingSnapshot[]>;
  deletePendingSnapshots(options?: DeletePendingOptions): Promise<DeletePendingResult>;
}

/** A running emulator, as far as the command needs it. */
export interface RunningEmulator {
  /** Base URL, to be given as `--endpoint`. */
  readonly url: string;
  close(): Promise<void>;
}

export interface Io {
  readonly stdout: TerminalStream;
  readonly stderr: TerminalStream;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
  readonly signals: SignalSource;
  /** Ends the process at once by this signal, whatever is still going on. */
  endBy(signal: NodeJS.Signals): void;
  /** Loads the library, and the SDK with it; called only once a command really runs. */
  library(): Promise<Library>;
  startEmulator(options: EmulatorOptions): Promise<RunningEmulator>;
}

export type ProgressMode = 'auto' | 'tty' | 'plain' | 'json' | 'none';

/** What the global options say. */
export interface Settings {
  readonly service: ServiceOptions;
  readonly verbosity: 'quiet' | 'normal' | 'verbose';
  readonly progress: ProgressMode;
  readonly color: boolean;
  /** Print results and errors as JSON. */
  readonly json: boolean;
}

/** What a command's runner gets: the outside world and the global options. */
export interface CommandIo extends Io {
  readonly settings: Settings;
  /** The command line that does the rest of an interrupted run, quoted for a shell. Changes when another one does. */
  runAgain: string;
}
