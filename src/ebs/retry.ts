/**
 * The only retry policy. Two callers use it: `withRetries` around every call to the service, and the transfer
 * pipeline, which fetches a block again when its checksum is wrong.
 *
 * Retries are bounded by the time without any success, not by a count. {@link RetryPolicy.run} lists the exceptions.
 */

import { abortable, abortedError, deadline, pause } from '../cancel.ts';
import { runningTime } from '../clock.ts';
import { ColdsnapError } from '../errors.ts';
import { formatDuration } from '../text.ts';
import { classify } from './errors.ts';
import type { RequestContext } from './request-context.ts';

export interface RetryNotice extends RequestContext {
  readonly attempt: number;
  readonly delayMs: number;
  readonly error: ColdsnapError;
}

export interface RetryPolicyOptions {
  /** Milliseconds without any success after which retrying ends. Default 600,000. */
  retryForMs?: number | undefined;
  onRetry?: (notice: RetryNotice) => void;
  /** Called before a request is retried that was refused for expired credentials. */
  refreshCredentials?: () => Promise<void>;
  /** Adds to the message of every failure which service it is of. Called again with what it has returned. */
  describe?: ((failure: ColdsnapError) => ColdsnapError) | undefined;
  /** For tests: a clock in milliseconds, a source of jitter from 0 to 1, and a sleep. */
  now?: () => number;
  random?: () => number;
  sleep?: (ms: number, signal?: AbortSignal) => Promise<void>;
}

/** An outage that lasts ten minutes is worth reporting. */
export const DEFAULT_RETRY_FOR_MS = 600_000;
/** First pause, doubled each time. The service usually replies within 10 ms. */
const BASE_DELAY_MS = 100;
/** Longest pause: does not burden a failing service, and notices soon when it recovers. */
const MAX_DELAY_MS = 20_000;
/** A block with wrong data this many times is wrong in the service. With the pauses, about half a minute. */
const MAX_INTEGRITY_ATTEMPTS = 8;
/** Until the service has replied once, an unreachable endpoint is more likely a typo than an outage. */
const FIRST_CONTACT_MS = 5_000;
/** An attempt that begins just before the retry time is over gets this long. */
const LAST_ATTEMPT_MS = 1_000;
/** Credentials may take this long to renew, however short the retry time is. */
const MIN_RENEWAL_MS = 5_000;
const unreachable: ReadonlySet<string> = new Set(['ENDPOINT_UNREACHABLE', 'PROXY_UNREACHABLE']);
/** PutSnapshotBlock may not find a new snapshot for up to two minutes. */
export const NOT_VISIBLE_MS = 120_000;

export class RetryPolicy {
  readonly #retryForMs: number;
  readonly #onRetry: (notice: RetryNotice) => void;
  readonly #refreshCredentials: () => Promise<void>;
  readonly #describe: (failure: ColdsnapError) => ColdsnapError;
  readonly #now: () => number;
  readonly #random: () => number;
  readonly #sleep: (ms: number, signal?: AbortSignal) => Promise<void>;
  #refreshing: Promise<void> | undefined;
  #lastProgress: number | undefined;

  constructor(options: RetryPolicyOptions = {}) {
    this.#retryForMs = options.retryForMs ?? DEFAULT_RETRY_FOR_MS;
    this.#onRetry = options.onRetry ?? (() => {});
    this.#refreshCredentials = options.refreshCredentials ?? (async () => {});
    this.#describe = options.describe ?? ((failure) => failure);
    this.#now = options.now ?? runningTime;
    this.#random = options.random ?? Math.random;
    this.#sleep = options.sleep ?? pause;
  }

  /**
   * Calls `attempt` until it succeeds or another retry is useless.
   *
   * - `transient`, `throttle`: retried until no request of this policy has succeeded for `retryForMs`, then thrown as
   *   class `gave-up` with the last error as cause; a retry that is in flight by then is aborted
   * - an endpoint that has never replied: 5 s, then class `config`
   * - `expired-credentials`: credentials are refreshed and the request is retried once, then class `config`
   * - `integrity` (wrong data): at most 8 attempts, within `retryForMs`
   * - `not-yet-visible`: 2 minutes, or `retryForMs` if that is less, then class `permanent`
   * - all other classes are thrown at once
   *
   * @param attempt must end soon after the signal that it is given fires
   * @throws ColdsnapError class `aborted` as soon as `signal` fires, also during a pause
   */
  async run<T>(
    context: RequestContext,
    signal: AbortSignal | undefined,
    attempt: (signal: AbortSignal | undefined) => Promise<T>,
  ): Promise<T> {
    let failures: Failures = { started: this.#now(), count: 0 };
    let refreshed = false;
    for (;;) {
      if (signal?.aborted) throw abortedError(signal);
      try {
        const result = await (failures.last === undefined
          ? attempt(signal)
          : this.#retry(failures, failures.last, signal, attempt));
        this.#lastProgress = this.#now();
        return result;
      } catch (failure) {
        const classified = classify(failure, context, signal);
        // The reason of an abort may be a failure of another service.
        const error = signal?.aborted ? classified : this.#describe(classified);
        if (!error.retryable) throw error;
        if (signal?.aborted) throw abortedError(signal);
        if (error.class === 'expired-credentials') {
          if (refreshed) throw error.reclassified('config');
          refreshed = true;
          await this.#refresh(error, context, signal);
          failures = { started: this.#now(), count: failures.count };
          continue;
        }
        const now = this.#now();
        failures = {
          started: failures.started,
          first: failures.first ?? now,
          count: failures.count + 1,
          last: error,
        };
        this.#throwIfExhausted(error, failures);
        const { count } = failures;
        const backoff = this.#random() * Math.min(MAX_DELAY_MS, BASE_DELAY_MS * 2 ** Math.min(count - 1, 16));
        const delayMs = Math.round(Math.min(backoff, this.#leftMs(failures)));
        this.#onRetry({ ...context, attempt: count, delayMs, error });
        await this.#sleep(delayMs, signal);
      }
    }
  }

  /** Repeats a failed request, for as long as the retry time allows. */
  async #retry<T>(
    failures: Failures,
    last: ColdsnapError,
    signal: AbortSignal | undefined,
    attempt: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const limit = deadline(Math.max(this.#leftMs(failures), LAST_ATTEMPT_MS), signal, () => {
      const leftMs = this.#leftMs(failures);
      return leftMs > 0 ? leftMs : this.#gaveUp(last, failures);
    });
    try {
      return await attempt(limit.signal);
    } finally {
      limit.end();
    }
  }

  /** Milliseconds since this request began, or since any request succeeded. */
  #failingMs({ started }: Failures): number {
    return this.#now() - Math.max(started, this.#lastProgress ?? started);
  }

  #leftMs(failures: Failures): number {
    return Math.max(0, this.#retryForMs - this.#failingMs(failures));
  }

  #throwIfExhausted(error: ColdsnapError, failures: Failures): void {
    const now = this.#now();
    const failingMs = now - (failures.first ?? now);
    if (error.class === 'integrity') {
      if (failures.count >= MAX_INTEGRITY_ATTEMPTS || failingMs >= this.#retryForMs) throw error;
      return;
    }
    if (error.class === 'not-yet-visible') {
      if (failingMs >= Math.min(NOT_VISIBLE_MS, this.#retryForMs)) throw error.reclassified('permanent');
      return;
    }
    const neverReplied = this.#lastProgress === undefined && unreachable.has(error.code);
    if (neverReplied && failingMs >= FIRST_CONTACT_MS) throw error.reclassified('config');
    if (this.#leftMs(failures) === 0) throw this.#gaveUp(error, failures);
  }

  #gaveUp(error: ColdsnapError, failures: Failures): ColdsnapError {
    const since = formatDuration(this.#failingMs(failures));
    const attempts = failures.count === 1 ? '1 attempt' : `${failures.count} attempts`;
    const message = `${error.message}; nothing succeeded for ${since} (${attempts})`;
    return new ColdsnapError('gave-up', error.code, message, { ...error, cause: error });
  }

  /** Requests in flight all fail when credentials expire, so they share one refresh. A provider may hang. */
  async #refresh(
    expired: ColdsnapError,
    context: RequestContext,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    this.#refreshing ??= this.#refreshCredentials().finally(() => {
      this.#refreshing = undefined;
    });
    const ms = Math.max(this.#retryForMs, MIN_RENEWAL_MS);
    const limit = deadline(ms, signal, () => {
      const message = `${expired.message}; the credentials were not renewed within ${formatDuration(ms)}`;
      return expired.reclassified('gave-up', message);
    });
    try {
      await abortable(this.#refreshing, limit.signal);
    } catch (failure) {
      throw classify(failure, context, signal);
    } finally {
      limit.end();
    }
  }
}

/** The failures of a request so far. */
interface Failures {
  /** When its first attempt began; a renewal of credentials begins it again. */
  readonly started: number;
  /** When its first attempt failed. */
  readonly first?: number;
  readonly count: number;
  readonly last?: ColdsnapError;
}
