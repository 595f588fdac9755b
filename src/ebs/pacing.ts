/**
 * Keeps block requests below the service's rate limit and the capacity of the network.
 *
 * Rate: the service allows 1,000 gets or puts a second for one snapshot. A throttle means that another client uses part
 * of that, so the rate is cut and then grows slowly (AIMD). Requests in flight: on a slow network, more requests only make
 * each one slower until it times out. The number starts low, grows with each fast block, and is halved when blocks are
 * slow or stall.
 */
import { abortedError, pause } from '../cancel.ts';
import { runningTime } from '../clock.ts';
import { ColdsnapError } from '../errors.ts';
import type { CallOptions, EbsDirectApi, GetBlockRequest, PutBlockRequest, ReceivedBlock } from './api.ts';
import { ApiDecorator } from './decorator.ts';

/** Slightly below the quota of 1,000 gets or puts per second and snapshot, because clocks differ. */
const MAX_REQUESTS_PER_SECOND = 980;
const MIN_REQUESTS_PER_SECOND = 1;
/** Requests in flight are throttled together, so the rate is cut at most once per interval. */
const CUT_INTERVAL_MS = 1_000;
/** Factor of a cut. */
const CUT = 0.7;
/** Requests per second added for each second without a throttle. */
const GROWTH_PER_SECOND = 10;
/** Milliseconds of unused rate that may be caught up in a burst. */
const BURST_MS = 50;

/**
 * Requests in flight before the first reply: few enough for 2 Mbit/s. One more per fast block doubles them in the time of
 * one block, so a fast network is not held back.
 */
const FIRST_IN_FLIGHT = 16;
/** A block that takes longer than this, or than a quarter of the idle deadline, means too many requests in flight. */
const SLOW_BLOCK_MS = 15_000;
/** A block that takes less than this fraction of that time allows one more request in flight. */
const FAST_FRACTION = 1 / 3;

export interface PacerOptions {
  /** Most requests in flight. */
  readonly workers: number;
  /** Most payload bytes per second. Default: no limit. */
  readonly bytesPerSecond?: number | undefined;
  /** Milliseconds without data after which a request fails. Blocks should take much less. */
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
  /** Time at which the next request may be sent. */
  #nextSlot: number;
  #inFlight = 0;
  #allowed: number;
  #lastReduction = Number.NEGATIVE_INFINITY;
  #queue: (() => void)[] = [];
  /** Requests sent in the current second and in the one before: the real rate, from which a cut is made. */
  #second = 0;
  #thisSecond = 0;
  #lastSecond = 0;

  constructor(options: PacerOptions) {
    this.#workers = options.workers;
    this.#allowed = Math.min(options.workers, FIRST_IN_FLIGHT);
    this.#slowBlockMs = Math.min(SLOW_BLOCK_MS, options.idleMs / 4);
    this.#bytesPerSecond = options.bytesPerSecond ?? Number.POSITIVE_INFINITY;
    this.#now = options.now ?? runningTime;
    this.#sleep = options.sleep ?? pause;
    this.#nextSlot = this.#now();
    this.#rateSetAt = this.#nextSlot;
  }

  /** Requests per second currently allowed. */
  get requestsPerSecond(): number {
    const seconds = (this.#now() - this.#rateSetAt) / 1000;
    return Math.min(MAX_REQUESTS_PER_SECOND, this.#requestsPerSecond + seconds * GROWTH_PER_SECOND);
  }

  /** Requests in flight currently allowed. */
  get inFlightAllowed(): number {
    return this.#allowed;
  }

  /**
   * Waits until a request of `bytes` payload bytes may be sent, then sends it.
   * @throws ColdsnapError class `aborted` when `signal` fires first; and what `request` throws
   */
  async run<T>(bytes: number, signal: AbortSignal | undefined, request: () => Promise<T>): Promise<T> {
    await this.#enter(signal);
    let started = Number.NaN;
    try {
      await this.#waitForSlot(bytes, signal);
      started = this.#now();
      const result = await request();
      this.#recordLatency(this.#now() - started);
      return result;
    } catch (error) {
      if (error instanceof ColdsnapError && error.class === 'throttle') this.#cutRate();
      if (error instanceof ColdsnapError && error.code === 'STALLED') {
        this.#reduceInFlight(this.#now() - started);
      }
      throw error;
    } finally {
      this.#leave();
    }
  }

  async #enter(signal: AbortSignal | undefined): Promise<void> {
    while (this.#inFlight >= this.#allowed && !signal?.aborted) await this.#waitInQueue(signal);
    if (signal?.aborted) {
      // The next in the queue may take the place that this request does not use.
      this.#queue.shift()?.();
      throw abortedError(signal);
    }
    this.#inFlight++;
  }

  async #waitInQueue(signal: AbortSignal | undefined): Promise<void> {
    let resume = () => {};
    const turn = new Promise<void>((resolve) => {
      resume = resolve;
    });
    this.#queue.push(resume);
    const leave = () => {
      const at = this.#queue.indexOf(resume);
      if (at >= 0) this.#queue.splice(at, 1);
      resume();
    };
    signal?.addEventListener('abort', leave);
    await turn;
    signal?.removeEventListener('abort', leave);
  }

  #leave(): void {
    this.#inFlight--;
    for (let free = this.#allowed - this.#inFlight; free > 0; free--) this.#queue.shift()?.();
  }

  async #waitForSlot(bytes: number, signal: AbortSignal | undefined): Promise<void> {
    const now = this.#now();
    const costMs = 1000 * Math.max(1 / this.requestsPerSecond, bytes / this.#bytesPerSecond);
    const slot = Math.max(this.#nextSlot, now - BURST_MS);
    this.#nextSlot = slot + costMs;
    const wait = slot - now;
    if (wait > 0) await this.#sleep(wait, signal);
    this.#countRequest();
  }

  #countRequest(): void {
    const second = Math.floor(this.#now() / 1000);
    if (second !== this.#second) {
      this.#lastSecond = second === this.#second + 1 ? this.#thisSecond : 0;
      this.#thisSecond = 0;
      this.#second = second;
    }
    this.#thisSecond++;
  }

  #cutRate(): void {
    const now = this.#now();
    if (now - this.#lastCut < CUT_INTERVAL_MS) return;
    this.#lastCut = now;
    // The allowed rate may be far above the real one; cutting it would change nothing.
    const used = Math.max(this.#lastSecond, this.#thisSecond);
    this.#requestsPerSecond = Math.max(MIN_REQUESTS_PER_SECOND, Math.min(this.requestsPerSecond, used) * CUT);
    this.#rateSetAt = now;
  }

  #recordLatency(ms: number): void {
    if (ms > this.#slowBlockMs) this.#reduceInFlight(ms);
    else if (ms < this.#slowBlockMs * FAST_FRACTION && this.#allowed < this.#workers) this.#allowed++;
  }

  /** @param ms how long the request took */
  #reduceInFlight(ms: number): void {
    const now = this.#now();
    // Requests that started before the last reduction say nothing about its effect.
    if (now - this.#lastReduction < ms) return;
    this.#lastReduction = now;
    this.#allowed = Math.max(1, Math.floor(this.#allowed / 2));
  }
}

/** Paces gets and puts; the other calls are too few to matter. */
export function withPacing(api: EbsDirectApi, pacer: Pacer): EbsDirectApi {
  return new PacedApi(api, pacer);
}

class PacedApi extends ApiDecorator {
  readonly #pacer: Pacer;

  constructor(inner: EbsDirectApi, pacer: Pacer) {
    super(inner);
    this.#pacer = pacer;
  }

  override getSnapshotBlock(
    request: GetBlockRequest,
    buffer: Uint8Array,
    options?: CallOptions,
  ): Promise<ReceivedBlock> {
    return this.#pacer.run(buffer.length, options?.signal, () =>
      this.inner.getSnapshotBlock(request, buffer, options),
    );
  }

  override putSnapshotBlock(request: PutBlockRequest, options?: CallOptions): Promise<void> {
    return this.#pacer.run(request.data.length, options?.signal, () =>
      this.inner.putSnapshotBlock(request, options),
    );
  }
}

/** The limits of a pacer at present. */
export type Pace = Pick<Pacer, 'requestsPerSecond' | 'inFlightAllowed'>;

/** The pace of a run that each of these holds back. */
export function slowest(paces: readonly Pace[]): Pace {
  return {
    get requestsPerSecond() {
      return Math.min(...paces.map((pace) => pace.requestsPerSecond));
    },
    get inFlightAllowed() {
      return Math.min(...paces.map((pace) => pace.inFlightAllowed));
    },
  };
}
