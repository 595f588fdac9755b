/**
 * The one retry policy. It has two callers: {@link withRetries}, which wraps every call to the service, and the transfer
 * pipeline, which hands a block whose checksum was wrong back to it.
 *
 * Retrying is bounded by time without progress and not by a count: as long as anything succeeds there is hope. The
 * exceptions, each with its reason, are in {@link RetryPolicy.run}.
 */

import { abortable, abortedError, pause } from '../cancel.ts';
import { ColdsnapError } from '../errors.ts';
import type { EbsDirectApi } from './api.ts';
import { classify, type RequestContext } from './errors.ts';

export interface RetryNotice extends RequestContext {
  readonly attempt: number;
  readonly delayMs: number;
  readonly error: ColdsnapError;
}

export interface RetryPolicyOptions {
  /** Milliseconds without any success after which a failing request is given up. Default 600,000. */
  retryForMs?: number | undefined;
  onRetry?: (notice: RetryNotice) => void;
  /** Asked to renew credentials before a request refused as expired is repeated. */
  refreshCredentials?: () => Promise<void>;
  /** For tests: a clock in milliseconds, a source of jitter in [0, 1), and a sleep. */
  now?: () => number;
  random?: () => number;
  sleep?: (ms: number, signal?: AbortSignal) => Promise<void>;
}

/** First pause; doubled each time. The service answers in about 10 ms, so 100 ms is patient without being slow. */
const BASE_DELAY_MS = 100;
/** Longest pause: long enough to leave a struggling service alone, short enough to notice when it is back. */
const MAX_DELAY_MS = 20_000;
/** A block whose data are wrong this many times is wrong at the source. With the pauses, about half a minute. */
const MAX_INTEGRITY_ATTEMPTS = 8;
/** Before the service has answered once, an unreachable endpoint is more likely a typo than an outage. */
const FIRST_CONTACT_MS = 5_000;
/** A snapshot that was just started may be unknown to PutSnapshotBlock for up to two minutes. */
const NOT_VISIBLE_MS = 120_000;

export class RetryPolicy {
  readonly #retryForMs: number;
  readonly #onRetry: (notice: RetryNotice) => void;
  readonly #refreshCredentials: () => Promise<void>;
  readonly #now: () => number;
  readonly #random: () => number;
  readonly #sleep: (ms: number, signal?: AbortSignal) => Promise<void>;
  #refreshing: Promise<void> | undefined;
  #lastProgress: number | undefined;

  constructor(options: RetryPolicyOptions = {}) {
    this.#retryForMs = options.retryForMs ?? 600_000;
    this.#onRetry = options.onRetry ?? (() => {});
    this.#refreshCredentials = options.refreshCredentials ?? (async () => {});
    this.#now = options.now ?? (() => performance.now());
    this.#random = options.random ?? Math.random;
    this.#sleep = options.sleep ?? pause;
  }

  /**
   * Runs `attempt` until it succeeds or there is no hope.
   *
   * - permanent, config, usage, refused and local errors end it at once;
   * - transient errors and throttles are repeated until nothing in the whole run has succeeded for `retryForMs`;
   *   then an error of class `gave-up` carries the last one;
   * - an endpoint that never answered is given up after 5 s;
   * - expired credentials are refreshed and the request repeated once;
   * - wrong data (`integrity`) are fetched at most 8 times, and for `retryForMs` at most;
   * - a snapshot that is not yet visible is asked for during 2 minutes, or `retryForMs` if that is less.
   *
   * @throws ColdsnapError of class `aborted` as soon as `signal` fires, also during a pause
   */
  async run<T>(
    context: RequestContext,
    signal: AbortSignal | undefined,
    attempt: () => Promise<T>,
  ): Promise<T> {
    let firstFailure: number | undefined;
    let refreshed = false;
    for (let count = 1; ; count++) {
      if (signal?.aborted) throw abortedError(signal);
      try {
        const result = await attempt();
        this.#lastProgress = this.#now();
        return result;
      } catch (failure) {
        const error = classify(failure, context, signal);
        if (!error.retryable) throw error;
        firstFailure ??= this.#now();
        if (error.class === 'expired-credentials') {
          if (refreshed) throw error.reclassified('config');
          refreshed = true;
          await this.#refresh(context, signal);
          continue;
        }
        this.#giveUpIfHopeless(error, count, firstFailure);
        const delayMs = Math.round(
          this.#random() * Math.min(MAX_DELAY_MS, BASE_DELAY_MS * 2 ** Math.min(count - 1, 16)),
        );
        this.#onRetry({ ...context, attempt: count, delayMs, error });
        await this.#sleep(delayMs, signal);
      }
    }
  }

  #giveUpIfHopeless(error: ColdsnapError, attempts: number, firstFailure: number): void {
    const now = this.#now();
    const failingMs = now - firstFailure;
    if (error.class === 'integrity') {
      if (attempts >= MAX_INTEGRITY_ATTEMPTS || failingMs >= this.#retryForMs) throw error;
      return;
    }
    if (error.class === 'not-yet-visible') {
      if (failingMs >= Math.min(NOT_VISIBLE_MS, this.#retryForMs)) throw error.reclassified('permanent');
      return;
    }
    const neverReached = this.#lastProgress === undefined && error.code === 'ENDPOINT_UNREACHABLE';
    if (neverReached && failingMs >= FIRST_CONTACT_MS) {
      throw error.reclassified('config');
    }
    const since = Math.max(firstFailure, this.#lastProgress ?? firstFailure);
    if (now - since < this.#retryForMs) return;
    const minutes = Math.round((now - since) / 6_000) / 10;
    throw new ColdsnapError(
      'gave-up',
      error.code,
      `${error.message}; nothing succeeded for ${minutes} min (${attempts} attempts)`,
      {
        ...error,
        cause: error,
      },
    );
  }

  /** All requests in flight fail together when credentials expire; they share one refresh. */
  async #refresh(context: RequestContext, signal: AbortSignal | undefined): Promise<void> {
    this.#refreshing ??= this.#refreshCredentials().finally(() => {
      this.#refreshing = undefined;
    });
    try {
      // What fetches credentials may hang, and knows of no signal.
      await (signal === undefined ? this.#refreshing : abortable(this.#refreshing, signal));
    } catch (failure) {
      throw classify(failure, context, signal);
    }
  }
}

/** Decorates an API so that each of its calls goes through `policy`. */
export function withRetries(
  api: EbsDirectApi,
  policy: RetryPolicy,
  now: () => number = () => performance.now(),
): EbsDirectApi {
  /** Snapshots started through this API, with the time: their puts may not be visible yet. */
  const started = new Map<string, number>();
  const justStarted = (snapshotId: string) =>
    now() - (started.get(snapshotId) ?? Number.NEGATIVE_INFINITY) < NOT_VISIBLE_MS;
  return {
    listSnapshotBlocks: (request, options) =>
      policy.run({ operation: 'ListSnapshotBlocks', snapshotId: request.snapshotId }, options?.signal, () =>
        api.listSnapshotBlocks(request, options),
      ),
    listChangedBlocks: (request, options) =>
      policy.run(
        { operation: 'ListChangedBlocks', snapshotId: request.secondSnapshotId },
        options?.signal,
        () => api.listChangedBlocks(request, options),
      ),
    getSnapshotBlock: (request, buffer, options) =>
      policy.run(
        { operation: 'GetSnapshotBlock', snapshotId: request.snapshotId, block: request.blockIndex },
        options?.signal,
        () => api.getSnapshotBlock(request, buffer, options),
      ),
    putSnapshotBlock: (request, options) =>
      policy.run(
        { operation: 'PutSnapshotBlock', snapshotId: request.snapshotId, block: request.blockIndex },
        options?.signal,
        () =>
          api.putSnapshotBlock(request, options).catch((error: unknown) => {
            if (
              error instanceof ColdsnapError &&
              error.code === 'SNAPSHOT_NOT_FOUND' &&
              justStarted(request.snapshotId)
            ) {
              throw error.reclassified('not-yet-visible');
            }
            throw error;
          }),
      ),
    startSnapshot: async (request, options) => {
      const snapshot = await policy.run({ operation: 'StartSnapshot' }, options?.signal, () =>
        api.startSnapshot(request, options),
      );
      started.set(snapshot.snapshotId, now());
      return snapshot;
    },
    completeSnapshot: (request, options) =>
      policy.run({ operation: 'CompleteSnapshot', snapshotId: request.snapshotId }, options?.signal, () =>
        api.completeSnapshot(request, options),
      ),
    close: () => api.close(),
  };
}
