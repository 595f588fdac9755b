/**
 * Keeps block requests below the service's rate and within what the line carries.
 *
 * Rate: the service allows 1,000 gets or puts a second for one snapshot; a throttle means that somebody else uses some of
 * it, so the rate is cut and grows back slowly (AIMD). Requests in flight: on a slow line many at once only make each of
 * them slower, until deadlines strike; so there are few at first, more with each block that is fast, and fewer when
 * blocks take long or stall.
 */
import { abortedError, pause } from '../cancel.ts';
import { ColdsnapError } from '../errors.ts';
import type { EbsDirectApi } from './api.ts';

/** A little under the quota of 1,000 gets (or puts) per second and snapshot, so that clocks need not agree. */
const MAX_REQUESTS_PER_SECOND = 980;
const MIN_REQUESTS_PER_SECOND = 1;
/** All requests in flight are throttled together; they count as one sign per second. */
const CUT_INTERVAL_MS = 1_000;
const CUT = 0.7;
/** Requests per second added for each second without a throttle. */
const GROWTH_PER_SECOND = 10;
/** Requests that may go at once after a pause, in milliseconds of the rate. */
const BURST_MS = 50;

/**
 * Requests in flight until the first block has come: few enough for 2 Mbit/s. One more with each fast block doubles them
 * within the time of a block, so no line that is fast is held up.
 */
const FIRST_IN_FLIGHT = 16;
/** A block that takes longer than this, or than a quarter of the idle deadline, shares its line with too many others. */
const SLOW_BLOCK_MS = 15_000;
/** Blocks in less than this part of that time show that there is room for one more. */
const FAST_PART = 1 / 3;

export interface PacerOptions {
  /** Most requests in flight. */
  readonly workers: number;
  /** Most payload bytes per second; no limit of its own unless given. */
  readonly bytesPerSecond?: number | undefined;
  /** Milliseconds after which a request that does not move fails: blocks must not come near it. */
  readonly idleMs: number;
  /** For tests: a clock in milliseconds and a sleep. */
  readonly now?: () => number;
  readonly sleep?: (ms: number, signal?: AbortSignal) => Promise<void>;
}

export class Pacer {
  readonly #workers: number;
  readonly #bytesPerSecond: number;
  readonly #slowBlockMs: number;
  readonly #now: () => number;
  readonly #sleep: (ms: number, signal?: AbortSignal) => Promise<void>;
  #requestsPerSecond = MAX_REQUESTS_PER_SECOND;
  #rateSetAt: number;
  #lastCut = Number.NEGATIVE_INFINITY;
  /** When the next request may go. */
  #nextSlot: number;
  #inFlight = 0;
  #allowed: number;
  #lastShrink = Number.NEGATIVE_INFINITY;
  #queue: (() => void)[] = [];
  /** Requests that went in the current and in the last second, to know the real rate when it must be cut. */
  #second = 0;
  #thisSecond = 0;
  #lastSecond = 0;

  constructor(options: PacerOptions) {
    this.#workers = options.workers;
    this.#allowed = Math.min(options.workers, FIRST_IN_FLIGHT);
    this.#slowBlockMs = Math.min(SLOW_BLOCK_MS, options.idleMs / 4);
    this.#bytesPerSecond = options.bytesPerSecond ?? Number.POSITIVE_INFINITY;
    this.#now = options.now ?? (() => performance.now());
    this.#sleep = options.sleep ?? pause;
    this.#nextSlot = this.#now();
    this.#rateSetAt = this.#nextSlot;
  }

  /** Requests per second that are allowed now. */
  get requestsPerSecond(): number {
    const seconds = (this.#now() - this.#rateSetAt) / 1000;
    return Math.min(MAX_REQUESTS_PER_SECOND, this.#requestsPerSecond + seconds * GROWTH_PER_SECOND);
  }

  /** Requests in flight that are allowed now. */
  get inFlightAllowed(): number {
    return this.#allowed;
  }

  /**
   * Runs a request of `bytes` when its turn has come.
   * @throws ColdsnapError class `aborted` when `signal` fires before
   */
  async run<T>(bytes: number, signal: AbortSignal | undefined, request: () => Promise<T>): Promise<T> {
    await this.#enter(signal);
    let begun = Number.NaN;
    try {
      await this.#waitForSlot(bytes, signal);
      begun = this.#now();
      const result = await request();
      this.#recordLatency(this.#now() - begun);
      return result;
    } catch (error) {
      if (error instanceof ColdsnapError && error.class === 'throttle') this.#cut();
      if (error instanceof ColdsnapError && error.code === 'STALLED')
        this.#reduceInFlight(this.#now() - begun);
      throw error;
    } finally {
      this.#leave();
    }
  }

  async #enter(signal: AbortSignal | undefined): Promise<void> {
    while (this.#inFlight >= this.#allowed) {
      await new Promise<void>((resume) => this.#queue.push(resume));
    }
    if (signal?.aborted) {
      // Whoever is behind must not wait for the place that this one does not take.
      this.#queue.shift()?.();
      throw abortedError(signal);
    }
    this.#inFlight++;
  }

  #leave(): void {
    this.#inFlight--;
    for (let free = this.#allowed - this.#inFlight; free > 0; free--) this.#queue.shift()?.();
  }

  async #waitForSlot(bytes: number, signal: AbortSignal | undefined): Promise<void> {
    const now = this.#now();
    const costMs = 1000 * Math.max(1 / this.requestsPerSecond, bytes / this.#bytesPerSecond);
    this.#nextSlot = Math.max(this.#nextSlot, now - BURST_MS) + costMs;
    const wait = this.#nextSlot - costMs - now;
    if (wait > 0) await this.#sleep(wait, signal);
    this.#count();
  }

  #count(): void {
    const second = Math.floor(this.#now() / 1000);
    if (second !== this.#second) {
      this.#lastSecond = second === this.#second + 1 ? this.#thisSecond : 0;
      this.#thisSecond = 0;
      this.#second = second;
    }
    this.#thisSecond++;
  }

  #cut(): void {
    const now = this.#now();
    if (now - this.#lastCut < CUT_INTERVAL_MS) return;
    this.#lastCut = now;
    // The rate allowed may be far above the rate used, and cutting it would change nothing.
    const used = Math.max(this.#lastSecond, this.#thisSecond);
    this.#requestsPerSecond = Math.max(MIN_REQUESTS_PER_SECOND, Math.min(this.requestsPerSecond, used) * CUT);
    this.#rateSetAt = now;
  }

  #recordLatency(ms: number): void {
    if (ms > this.#slowBlockMs) this.#reduceInFlight(ms);
    else if (ms < this.#slowBlockMs * FAST_PART && this.#allowed < this.#workers) this.#allowed++;
  }

  /** @param ms how long the request took */
  #reduceInFlight(ms: number): void {
    const now = this.#now();
    // Those that are in flight already were begun under the old number and say nothing about the new one.
    if (now - this.#lastShrink < ms) return;
    this.#lastShrink = now;
    this.#allowed = Math.max(1, Math.floor(this.#allowed / 2));
  }
}

/** Decorates an API so that gets and puts keep the pace; the other calls are too few to matter. */
export function withPacing(api: EbsDirectApi, pacer: Pacer): EbsDirectApi {
  return {
    listSnapshotBlocks: (request, options) => api.listSnapshotBlocks(request, options),
    listChangedBlocks: (request, options) => api.listChangedBlocks(request, options),
    getSnapshotBlock: (request, buffer, options) =>
      pacer.run(buffer.length, options?.signal, () => api.getSnapshotBlock(request, buffer, options)),
    putSnapshotBlock: (request, options) =>
      pacer.run(request.data.length, options?.signal, () => api.putSnapshotBlock(request, options)),
    startSnapshot: (request, options) => api.startSnapshot(request, options),
    completeSnapshot: (request, options) => api.completeSnapshot(request, options),
    close: () => api.close(),
  };
}
