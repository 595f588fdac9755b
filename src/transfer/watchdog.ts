/**
 * Nothing may wait for ever without a word. The watchdog knows what every worker is doing; when nothing has moved for a
 * while it says what is being waited for, and when the service has been waited for longer than any retry lasts, it ends
 * the run. A slow disk or a paused reader of a pipe is waited for, loudly.
 */
import { ColdsnapError } from '../errors.ts';
import type { Meter } from './meter.ts';

/** Silence worth a word. */
const SAY_AFTER_MS = 60_000;
/** Beyond the retry time, for a last request's own deadlines. */
const GRACE_MS = 120_000;
const CHECK_INTERVAL_MS = 5_000;
/** Where they come from may be a program or a service of its own. */
export const CREDENTIALS = 'region and credentials';

/** Who must move next. */
export type WaitingFor = 'service' | 'disk';

interface Activity {
  readonly what: string;
  readonly on: WaitingFor;
  readonly since: number;
}

export class Watchdog {
  readonly #meter: Meter;
  readonly #limitMs: number;
  readonly #stop: (failure: ColdsnapError) => void;
  readonly #now: () => number;
  readonly #activities = new Map<number | string, Activity>();
  readonly #timer: NodeJS.Timeout;
  #lastMove: number;
  #saidAt = Number.NEGATIVE_INFINITY;

  /**
   * @param retryForMs how long retries last; the watchdog's own limit is beyond it
   * @param stop is told the failure when the service has been silent for too long
   */
  constructor(
    meter: Meter,
    retryForMs: number,
    stop: (failure: ColdsnapError) => void,
    now: () => number = () => performance.now(),
  ) {
    this.#meter = meter;
    this.#limitMs = retryForMs + GRACE_MS;
    this.#stop = stop;
    this.#now = now;
    this.#lastMove = now();
    this.#timer = setInterval(() => this.check(), CHECK_INTERVAL_MS);
    this.#timer.unref();
  }

  /** A worker (or other part, by name) begins something; replaces what it was doing before. */
  doing(who: number | string, what: string, on: WaitingFor): void {
    this.#activities.set(who, { what, on, since: this.#now() });
  }

  /** It is done with it: something has moved. */
  done(who: number | string): void {
    this.#activities.delete(who);
    this.#lastMove = this.#now();
  }

  /** Looks whether anything has moved. Called by its own timer. */
  check(): void {
    const now = this.#now();
    const silentMs = now - this.#lastMove;
    if (silentMs < SAY_AFTER_MS || this.#activities.size === 0) return;
    const oldest = [...this.#activities.values()].reduce((a, b) => (b.since < a.since ? b : a));
    const seconds = Math.round(silentMs / 1000);
    if (silentMs >= this.#limitMs && oldest.on === 'service') {
      this.#stop(
        new ColdsnapError(
          'gave-up',
          'STALLED',
          `nothing has moved for ${seconds} s; still waiting for ${oldest.what}`,
          {
            hint: 'Running it again goes on from where it was.',
          },
        ),
      );
      return;
    }
    if (now - this.#saidAt < SAY_AFTER_MS) return;
    this.#saidAt = now;
    this.#meter.emit({
      type: 'warning',
      code: 'STALLED',
      message: `Nothing has moved for ${seconds} s; waiting for ${oldest.what}.`,
    });
  }

  close(): void {
    clearInterval(this.#timer);
  }
}
