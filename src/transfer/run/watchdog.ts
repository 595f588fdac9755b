/**
 * Knows what every worker is doing. After a while without progress it warns of what is being waited for; when the service
 * has been silent for longer than any retry lasts, it ends the run. A slow disk or a paused reader of a pipe is waited
 * for, with a warning.
 */
import { runningTime } from '../../clock.ts';
import type { ColdsnapError } from '../../errors.ts';
import type { WaitingFor } from '../engine/block.ts';
import { stalled } from '../messages.ts';
import { warnings } from '../warnings.ts';
import type { Meter } from './meter.ts';

/** Time without progress that deserves a warning. */
const WARN_AFTER_MS = 60_000;
/** Beyond the retry time, for the deadlines of a last request. */
const GRACE_MS = 120_000;
const CHECK_INTERVAL_MS = 5_000;
interface Activity {
  /** Follows the block's number, where there is one. */
  readonly what: string;
  readonly block: number | undefined;
  readonly on: WaitingFor;
  readonly startedAt: number;
}

export class Watchdog {
  readonly #meter: Meter;
  readonly #limitMs: number;
  readonly #stop: (failure: ColdsnapError) => void;
  readonly #now: () => number;
  readonly #activities = new Map<number | string, Activity>();
  readonly #timer: NodeJS.Timeout;
  #lastProgress: number;
  #warnedAt = Number.NEGATIVE_INFINITY;

  /**
   * @param retryForMs how long retries last; the watchdog's own limit is beyond it
   * @param stop is called with the failure when the service has been silent for too long
   */
  constructor(
    meter: Meter,
    retryForMs: number,
    stop: (failure: ColdsnapError) => void,
    now: () => number = runningTime,
  ) {
    this.#meter = meter;
    this.#limitMs = retryForMs + GRACE_MS;
    this.#stop = stop;
    this.#now = now;
    this.#lastProgress = now();
    this.#timer = setInterval(() => this.check(), CHECK_INTERVAL_MS);
    this.#timer.unref();
  }

  /**
   * A worker (or other part, by name) begins something; replaces what it was doing before.
   * @param block number to put before `what`; composed only for a message, because this runs twice a block
   */
  doing(who: number | string, what: string, on: WaitingFor, block?: number): void {
    this.#activities.set(who, { what, block, on, startedAt: this.#now() });
  }

  /** It has finished: there is progress. */
  done(who: number | string): void {
    this.#activities.delete(who);
    this.#lastProgress = this.#now();
  }

  /** The oldest thing that is waited for, and the time without progress; undefined when nothing is. */
  get waiting(): { readonly what: string; readonly on: WaitingFor; readonly silentMs: number } | undefined {
    const [first, ...others] = this.#activities.values();
    if (first === undefined) return undefined;
    const { block, on, ...oldest } = others.reduce((a, b) => (b.startedAt < a.startedAt ? b : a), first);
    const what = block === undefined ? oldest.what : `block ${block} ${oldest.what}`;
    return { what, on, silentMs: this.#now() - this.#lastProgress };
  }

  /** Looks for progress. Called by its own timer. */
  check(): void {
    const now = this.#now();
    const oldest = this.waiting;
    if (oldest === undefined || oldest.silentMs < WARN_AFTER_MS) return;
    const { silentMs } = oldest;
    const seconds = Math.round(silentMs / 1000);
    if (silentMs >= this.#limitMs && oldest.on === 'service') {
      this.#stop(stalled(seconds, oldest.what));
      return;
    }
    if (now - this.#warnedAt < WARN_AFTER_MS) return;
    this.#warnedAt = now;
    const [code, message] = warnings.stalled(seconds, oldest.what);
    this.#meter.emit({ type: 'warning', code, message });
  }

  close(): void {
    clearInterval(this.#timer);
  }
}
