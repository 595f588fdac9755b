/** The state of a running transfer, gathered from its events, and its description for every display. */
import type { TransferEvent, TransferPhase, TransferProgress } from '../../transfer/events.ts';
import type { Clock } from '../io.ts';
import {
  amounts,
  describeRetry,
  lowerRate,
  noProgress,
  nothingTransferred,
  phases,
  retryCount,
  slowLine,
  snapshotState,
  throttleCount,
  waitingForService,
} from '../messages.ts';

/** Window of the moving average. */
const windowMs = 10_000;
/** The shortest time between two samples. */
const sampleEveryMs = 250;
/** Time without progress after which the display says what it waits for. */
const stalledAfterMs = 10_000;

interface Sample {
  at: number;
  bytesDone: number;
  bytesTransferred: number;
}

export class TransferStatus {
  /** Shown before the first event. */
  readonly title: string;
  latest: TransferProgress | undefined;
  phase: TransferPhase | undefined;
  snapshotState: string | undefined;
  #clock: Clock;
  #samples: Sample[] = [];
  #movedAt: number;
  #mostPerSecond = 0;
  #mostInFlight = 0;
  #lastRetry: { text: string; at: number } | undefined;

  constructor(title: string, clock: Clock) {
    this.title = title;
    this.#clock = clock;
    this.#movedAt = clock.now();
  }

  apply(event: TransferEvent): void {
    const now = this.#clock.now();
    switch (event.type) {
      case 'progress':
      case 'done':
        this.#applyProgress(event, now);
        break;
      case 'phase':
        this.phase = event.phase;
        this.#movedAt = now;
        break;
      case 'status':
        this.snapshotState = snapshotState(event.snapshotId, event.status, event.progressPercent);
        this.#movedAt = now;
        break;
      case 'retry':
        this.#lastRetry = { text: describeRetry(event), at: now };
        break;
      default:
        this.#movedAt = now;
    }
  }

  #applyProgress(progress: TransferProgress, now: number): void {
    const { bytesDone, bytesTransferred } = progress;
    const before = this.latest;
    this.latest = progress;
    this.#mostPerSecond = Math.max(this.#mostPerSecond, progress.requestsPerSecond);
    this.#mostInFlight = Math.max(this.#mostInFlight, progress.requestsInFlight);
    if (before?.bytesDone !== bytesDone || before.bytesTransferred !== bytesTransferred) this.#movedAt = now;
    const last = this.#samples.at(-1);
    if (last && now - last.at < sampleEveryMs) return;
    this.#samples.push({ at: now, bytesDone, bytesTransferred });
    // Keep the newest sample outside the window: the window begins there.
    while (this.#samples.length > 2 && now - this.#samples[1]!.at >= windowMs) this.#samples.shift();
  }

  /** Bytes per second over the window; 0 before the first sample. */
  #rate(key: 'bytesDone' | 'bytesTransferred'): number {
    const first = this.#samples[0];
    if (!first || !this.latest) return 0;
    const elapsed = this.#clock.now() - first.at;
    return elapsed <= 0 ? 0 : ((this.latest[key] - first[key]) * 1000) / elapsed;
  }

  /** Payload bytes per second, as a moving average. */
  get bytesPerSecond(): number {
    return this.#rate('bytesTransferred');
  }

  /** Seconds remaining at the current rate, or undefined if unknown. */
  get etaSeconds(): number | undefined {
    const rate = this.#rate('bytesDone');
    // After its blocks a run waits for other things.
    if (!this.latest || rate <= 0 || this.phase !== undefined) return undefined;
    return (this.latest.bytesTotal - this.latest.bytesDone) / rate;
  }

  /** 0 … 100, rounded down, so that 100 means done. */
  get percent(): number {
    const { bytesDone = 0, bytesTotal = 0 } = this.latest ?? {};
    return bytesTotal > 0 ? Math.floor((bytesDone / bytesTotal) * 100) : 0;
  }

  /** Bytes done and total, rate, time remaining. */
  get amounts(): string {
    if (!this.latest) return nothingTransferred;
    const eta = this.percent === 100 ? undefined : this.etaSeconds;
    return amounts(this.latest, this.percent, this.bytesPerSecond, eta);
  }

  /** `3 retries, 1 throttle, now at most 500 requests/s`; undefined without any. */
  get troubles(): string | undefined {
    const { retries = 0, throttles = 0, requestsPerSecond = 0, requestsInFlight = 0 } = this.latest ?? {};
    const parts: string[] = [];
    if (retries > 0) parts.push(retryCount(retries));
    if (throttles > 0) parts.push(throttleCount(throttles));
    if (throttles > 0 && requestsPerSecond < this.#mostPerSecond) parts.push(lowerRate(requestsPerSecond));
    if (requestsInFlight < this.#mostInFlight) parts.push(slowLine(requestsInFlight));
    return parts.length === 0 ? undefined : parts.join(', ');
  }

  /** The phase, or what a run without progress waits for; undefined while blocks are transferred. */
  get activity(): string | undefined {
    const now = this.#clock.now();
    const idleMs = now - this.#movedAt;
    const phase = this.phase === undefined ? undefined : phases[this.phase];
    if (idleMs < stalledAfterMs) return this.snapshotState ?? phase;
    const retry = this.#lastRetry;
    const reason =
      retry && retry.at >= this.#movedAt ? retry.text : (this.snapshotState ?? phase ?? waitingForService);
    return noProgress(idleMs, reason);
  }

  /** The whole status on one line. */
  get line(): string {
    const amounts = this.latest || this.snapshotState === undefined ? this.amounts : undefined;
    return [amounts, this.troubles, this.activity].filter((part) => part !== undefined).join('; ');
  }
}
