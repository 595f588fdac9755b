/**
 * The only retry policy. Two callers use it: {@link withRetries} around every call to the service, and the transfer
 * pipeline, which fetches a block again when its checksum is wrong.
 *
 * Retries are bounded by the time without any success, not by a count. {@link RetryPolicy.run} lists the exceptions.
 */

import { abortable, abortedError, pause } from '../cancel.ts';
import { ColdsnapError } from '../errors.ts';
import type {
  BlockPage,
  CallOptions,
  ChangedBlockPage,
  CompleteRequest,
  EbsDirectApi,
  GetBlockRequest,
  ListBlocksRequest,
  ListChangedBlocksRequest,
  PutBlockRequest,
  ReceivedBlock,
  StartedSnapshot,
  StartRequest,
} from './api.ts';
import { ApiDecorator } from './decorator.ts';
import { classify } from './errors.ts';
import { blockContext, type RequestContext } from './request-context.ts';

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
  /** For tests: a clock in milliseconds, a source of jitter from 0 to 1, and a sleep. */
  now?: () => number;
  random?: () => number;
  sleep?: (ms: number, signal?: AbortSignal) => Promise<void>;
}

/** First pause, doubled each time. The service usually replies within 10 ms. */
const BASE_DELAY_MS = 100;
/** Longest pause: does not burden a failing service, and notices soon when it recovers. */
const MAX_DELAY_MS = 20_000;
/** A block with wrong data this many times is wrong in the service. With the pauses, about half a minute. */
const MAX_INTEGRITY_ATTEMPTS = 8;
/** Until the service has replied once, an unreachable endpoint is more likely a typo than an outage. */
const FIRST_CONTACT_MS = 5_000;
const unreachable: ReadonlySet<string> = new Set(['ENDPOINT_UNREACHABLE', 'PROXY_UNREACHABLE']);
/** PutSnapshotBlock may not find a new snapshot for up to two minutes. */
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
   * Calls `attempt` until it succeeds or another retry is useless.
   *
   * - `transient`, `throttle`: retried until no request of this policy has succeeded for `retryForMs`, then thrown as
   *   class `gave-up` with the last error as cause
   * - an endpoint that has never replied: 5 s, then class `config`
   * - `expired-credentials`: credentials are refreshed and the request is retried once, then class `config`
   * - `integrity` (wrong data): at most 8 attempts, within `retryForMs`
   * - `not-yet-visible`: 2 minutes, or `retryForMs` if that is less, then class `permanent`
   * - all other classes are thrown at once
   *
   * @throws ColdsnapError class `aborted` as soon as `signal` fires, also during a pause
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
        this.#throwIfExhausted(error, count, firstFailure);
        const delayMs = Math.round(
          this.#random() * Math.min(MAX_DELAY_MS, BASE_DELAY_MS * 2 ** Math.min(count - 1, 16)),
        );
        this.#onRetry({ ...context, attempt: count, delayMs, error });
        await this.#sleep(delayMs, signal);
      }
    }
  }

  #throwIfExhausted(error: ColdsnapError, attempts: number, firstFailure: number): void {
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
    const neverReplied = this.#lastProgress === undefined && unreachable.has(error.code);
    if (neverReplied && failingMs >= FIRST_CONTACT_MS) {
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

  /** Requests in flight all fail when credentials expire, so they share one refresh. */
  async #refresh(context: RequestContext, signal: AbortSignal | undefined): Promise<void> {
    this.#refreshing ??= this.#refreshCredentials().finally(() => {
      this.#refreshing = undefined;
    });
    try {
      // A credential provider may hang, and takes no signal.
      await (signal === undefined ? this.#refreshing : abortable(this.#refreshing, signal));
    } catch (failure) {
      throw classify(failure, context, signal);
    }
  }
}

/** Retries every call of an API by `policy`. */
export function withRetries(api: EbsDirectApi, policy: RetryPolicy): EbsDirectApi {
  return new RetryingApi(api, policy);
}

class RetryingApi extends ApiDecorator {
  readonly #policy: RetryPolicy;
  /** Start times of the snapshots that were started through this API: PutSnapshotBlock may not know them yet. */
  readonly #started = new Map<string, number>();

  constructor(inner: EbsDirectApi, policy: RetryPolicy) {
    super(inner);
    this.#policy = policy;
  }

  override listSnapshotBlocks(request: ListBlocksRequest, options?: CallOptions): Promise<BlockPage> {
    const context = { operation: 'ListSnapshotBlocks', snapshotId: request.snapshotId };
    return this.#policy.run(context, options?.signal, () => this.inner.listSnapshotBlocks(request, options));
  }

  override listChangedBlocks(
    request: ListChangedBlocksRequest,
    options?: CallOptions,
  ): Promise<ChangedBlockPage> {
    const context = { operation: 'ListChangedBlocks', snapshotId: request.secondSnapshotId };
    return this.#policy.run(context, options?.signal, () => this.inner.listChangedBlocks(request, options));
  }

  override getSnapshotBlock(
    request: GetBlockRequest,
    buffer: Uint8Array,
    options?: CallOptions,
  ): Promise<ReceivedBlock> {
    return this.#policy.run(blockContext('GetSnapshotBlock', request), options?.signal, () =>
      this.inner.getSnapshotBlock(request, buffer, options),
    );
  }

  override putSnapshotBlock(request: PutBlockRequest, options?: CallOptions): Promise<void> {
    return this.#policy.run(blockContext('PutSnapshotBlock', request), options?.signal, async () => {
      try {
        await this.inner.putSnapshotBlock(request, options);
      } catch (error) {
        const notFound = error instanceof ColdsnapError && error.code === 'SNAPSHOT_NOT_FOUND';
        if (notFound && this.#isNew(request.snapshotId)) throw error.reclassified('not-yet-visible');
        throw error;
      }
    });
  }

  override async startSnapshot(request: StartRequest, options?: CallOptions): Promise<StartedSnapshot> {
    const snapshot = await this.#policy.run({ operation: 'StartSnapshot' }, options?.signal, () =>
      this.inner.startSnapshot(request, options),
    );
    this.#started.set(snapshot.snapshotId, performance.now());
    return snapshot;
  }

  override completeSnapshot(request: CompleteRequest, options?: CallOptions): Promise<string> {
    const context = { operation: 'CompleteSnapshot', snapshotId: request.snapshotId };
    return this.#policy.run(context, options?.signal, () => this.inner.completeSnapshot(request, options));
  }

  #isNew(snapshotId: string): boolean {
    const started = this.#started.get(snapshotId);
    return started !== undefined && performance.now() - started < NOT_VISIBLE_MS;
  }
}
