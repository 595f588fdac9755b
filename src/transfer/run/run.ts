/** One call of the library: who may stop it, what it counts, what it warns of. */
import { setMaxListeners } from 'node:events';
import { abortable, abortedError } from '../../cancel.ts';
import { watchClock } from '../../clock.ts';
import type { EbsConnection, Service } from '../../ebs/service.ts';
import type { WarningCode } from '../../warning-codes.ts';
import type { WaitingFor } from '../engine/block.ts';
import type { TransferEvent, TransferPhase, TransferProgress } from '../events.ts';
import type { ClientOptions } from '../options.ts';
import { checkCheckpointInterval, checkRate, checkRetryFor, checkWorkers } from './checks.ts';
import { Meter } from './meter.ts';
import { Watchdog } from './watchdog.ts';

/** Time between reports of a run without progress. */
const TELL_WAITING_MS = 1_000;

/** A `start` event. */
type TransferStart = DistributiveOmit<Extract<TransferEvent, { type: 'start' }>, 'type'>;
type DistributiveOmit<T, Key extends keyof T> = T extends unknown ? Omit<T, Key> : never;

interface RunOptions extends ClientOptions {
  readonly workers?: number | undefined;
  readonly bytesPerSecond?: number | undefined;
  readonly checkpointIntervalMs?: number | undefined;
  readonly fresh?: boolean | undefined;
}

interface ResultOptions<Result> {
  readonly signal?: AbortSignal | undefined;
  readonly onResult?: ((result: Result) => void | Promise<void>) | undefined;
}

export class Run {
  /** Fires with the caller's signal or with the first failure; no request and no write begins after it. */
  readonly signal: AbortSignal;
  readonly meter: Meter;
  readonly watchdog: Watchdog;
  readonly workers: number;
  readonly checkpointIntervalMs: number;
  /** The command that resumes what this run has done, in a sentence. */
  readonly sameCommand: string;
  readonly #failure = new AbortController();
  readonly #stopClock: () => void;
  readonly #ticker: NodeJS.Timeout;

  /** @throws ColdsnapError class `usage` for numbers out of range, `aborted` when the caller's signal has fired */
  constructor(options: RunOptions) {
    this.workers = checkWorkers(options.workers);
    const retryForMs = checkRetryFor(options.retryForMs);
    checkRate(options.bytesPerSecond);
    this.checkpointIntervalMs = checkCheckpointInterval(options.checkpointIntervalMs);
    this.sameCommand = `the same command again${options.fresh ? ' without "fresh"' : ''}`;
    const { signal } = options;
    if (signal?.aborted) throw abortedError(signal);
    this.signal = signal ? AbortSignal.any([signal, this.#failure.signal]) : this.#failure.signal;
    // Every request in flight listens to it; their number is bounded by the workers.
    setMaxListeners(0, this.signal);
    this.meter = new Meter(options.onEvent, this.stop);
    this.#stopClock = watchClock();
    this.watchdog = new Watchdog(this.meter, retryForMs, this.stop);
    this.#ticker = setInterval(this.#tellWaiting, TELL_WAITING_MS);
    this.#ticker.unref();
  }

  /** Stops everything that is under way. */
  readonly stop = (failure?: unknown): void => this.#failure.abort(failure);

  readonly warn = (code: WarningCode, message: string): void =>
    this.meter.emit({ type: 'warning', code, message });

  /** @param amount for phases that have progress of their own, in bytes */
  phase(phase: TransferPhase, amount: { bytesDone?: number; bytesTotal?: number } = {}): void {
    if (amount.bytesTotal === undefined) this.meter.report();
    this.meter.emit({ type: 'phase', phase, ...amount });
  }

  /** Connects to the EBS direct APIs. The providers of region and credentials may hang, and take no signal. */
  async connect(service: Service): Promise<EbsConnection> {
    const ebs = await this.waitFor('region and credentials', 'service', () => service.ebs());
    this.meter.pacer = ebs.pacer;
    return ebs;
  }

  /**
   * Tells the listener that the transfer begins, with what an earlier run has done.
   * @param bytesTotal for a transfer of a part of the volume
   */
  begin(start: TransferStart, bytesTotal = start.volumeSize): void {
    this.meter.begin(bytesTotal, start.bytesResumed);
    this.meter.emit({ type: 'start', ...start });
  }

  /** Tells the listener that the transfer is done. */
  done(snapshotId: string): TransferProgress {
    // How long a stream was is known now.
    this.meter.planComplete();
    const progress = this.meter.progress();
    this.meter.emit({ type: 'done', snapshotId, ...progress });
    return progress;
  }

  /** Waits for a callback of the caller's, which may never return. */
  async callBack(called: void | Promise<void>): Promise<void> {
    if (called !== undefined) await abortable(Promise.resolve(called), this.signal);
  }

  /** Gives the caller the result, while a later run would still give the same. */
  async report<Result>(result: Result, { onResult, signal }: ResultOptions<Result>): Promise<void> {
    const stored = Promise.resolve(onResult?.(result));
    await (signal === undefined ? stored : abortable(stored, signal));
  }

  /**
   * Names `work` to the watchdog while it lasts. Does not begin it after an abort.
   * @param what completes "waiting for …"
   */
  async watch<T>(what: string, on: WaitingFor, work: () => Promise<T>): Promise<T> {
    // Nothing begins after an abort.
    if (this.signal.aborted) throw abortedError(this.signal);
    this.watchdog.doing(what, what, on);
    const result = await work();
    this.watchdog.done(what);
    return result;
  }

  /** The same for work that knows of no signal: it is abandoned when the run stops. */
  waitFor<T>(what: string, on: WaitingFor, work: () => Promise<T>): Promise<T> {
    return this.watch(what, on, () => abortable(work(), this.signal));
  }

  readonly #tellWaiting = (): void => {
    const { waiting } = this.watchdog;
    if (waiting !== undefined && waiting.silentMs >= TELL_WAITING_MS) {
      this.meter.emit({ type: 'waiting', ...waiting });
    }
  };

  /** Carries out the call and ends the run. A listener that throws ends it, with its own error. */
  async carryOut<T>(call: () => Promise<T>): Promise<T> {
    try {
      return await call();
    } catch (error) {
      // Blocks that ended while the run was stopping are done, too.
      if (this.meter.bytesTotal > 0) this.meter.report();
      throw error;
    } finally {
      clearInterval(this.#ticker);
      this.watchdog.close();
      this.#stopClock();
      this.meter.throwListenerError();
    }
  }
}
