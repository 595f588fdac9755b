/** Everything a command uses besides its options; tests pass their own. */
import type { Writable } from 'node:stream';
import type { EmulatorOptions } from '../emulator/options.ts';
import type { ClientOptions } from '../transfer/options.ts';

/** An output stream that may be a terminal. */
type TerminalStream = Writable & { isTTY?: boolean; columns?: number; rows?: number };

/** Time, injected so that tests need not wait. Its timers do not keep the process alive. */
export interface Clock {
  /** Monotonic time in milliseconds. */
  now(): number;
  /** Calls back every `ms` milliseconds until the returned function is called. */
  every(ms: number, callback: () => void): () => void;
  /** Calls back once after `ms` milliseconds unless the returned function is called first. */
  after(ms: number, callback: () => void): () => void;
}

/** The source of signals: `process`, except in tests. */
export interface SignalSource {
  on(signal: NodeJS.Signals, listener: () => void): unknown;
  off(signal: NodeJS.Signals, listener: () => void): unknown;
}

/** The functions of the library. */
export type Library = Omit<typeof import('../index.ts'), 'ColdsnapError'>;

/** The part of a running emulator that the command uses. */
interface RunningEmulator {
  /** Base URL, for `--endpoint`. */
  readonly url: string;
  close(): Promise<void>;
}

export interface Io {
  readonly stdout: TerminalStream;
  readonly stderr: TerminalStream;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
  readonly signals: SignalSource;
  /** Ends the process by this signal without waiting for anything. */
  endBy(signal: NodeJS.Signals): void;
  /** Raises SIGTSTP, as Ctrl-Z does. Returns when the process continues. */
  suspend(): void;
  /** Loads the library and with it the SDK; called only when a command runs. */
  library(): Promise<Library>;
  /**
   * Asks on the terminal. Undefined when stdin or stderr is none. The answer is empty when there is none. Rejects when the
   * signal fires.
   */
  readonly ask: ((question: string, signal?: AbortSignal) => Promise<string>) | undefined;
  /** The SHA-256 implementation of the native addon, or why there is none. */
  hashKernel(): Promise<string>;
  startEmulator(options: EmulatorOptions): Promise<RunningEmulator>;
}

export type ProgressMode = 'auto' | 'tty' | 'plain' | 'json' | 'none';

/** The library's options that are global options of the command line. */
export type ServiceSettings = Pick<
  ClientOptions,
  'region' | 'profile' | 'endpoint' | 'ebsEndpoint' | 'ec2Endpoint' | 'retryForMs' | 'deadlines'
>;

/** The parsed global options. */
export interface Settings {
  readonly service: ServiceSettings;
  readonly verbosity: 'quiet' | 'normal' | 'verbose';
  readonly progress: ProgressMode;
  readonly color: boolean;
  /** Print results and errors as JSON. */
  readonly json: boolean;
}

/** The environment of a running command, with the global options. */
export interface CommandIo extends Io {
  readonly settings: Settings;
  /** The command line that resumes an interrupted run, quoted for a shell. An upload that waits replaces it. */
  runAgain: string;
  /** The same without some of the command's operands. */
  runAgainWithout(operands: readonly string[]): string;
  /** The command line with its operands in this order, quoted for a shell. */
  reordered(operands: readonly string[]): string;
  /** {@link runAgain} is printed whatever failed: a part is done, or a later run may find the failure of a target gone. */
  suggestsRepeat?: boolean;
}
