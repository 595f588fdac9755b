/** The state of a running transfer, gathered from its events, and its description for every display. */
import type { TransferEvent, TransferPhase, TransferProgress } from '../../transfer/events.ts';
import type { Clock } from '../io.ts';
import {
  amounts,
  describeRetry,
  describeStall,
  lowerRate,
  nothingTransferred,
  phaseLine,
  phases,
  retryCount,
  slowLine,
  snapshotState,
  throttleCount,
  transferred,
  waitingFor,
} from '../progress-messages.ts';
import { Rate } from './rate.ts';

/** Time without progress after which the rate is 0 and the display says what the run waits for. */
const stalledAfterMs = 3_000;
/** The library's default time without success after which it gives up. */
const defaultRetryForMs = 600_000;

interface Phase {
  readonly name: TransferPhase;
  readonly since: number;
  readonly bytesDone?: number | undefined;
  readonly bytesTotal?: number | undefined;
}

export class TransferStatus {
  /** Shown before the first event. */
  readonly title: string;
  latest: TransferProgress | undefined;
  snapshotState: string | undefined;
  readonly #clock: Clock;
  readonly #retryForMs: number;
  readonly #startedAt: number;
  readonly #rate: Rate;
  #phase: Phase | undefined;
  #movedAt: number;
  #mostPerSecond = 0;
  #mostInFlight = 0;
  #retry: { text: string; at: number; nextAt: number } | undefined;
  #waitingFor: string | undefined;

  constructor(title: string, clock: Clock, retryForMs = defaultRetryForMs) {
    this.title = title;
    this.#clock = clock;
    this.#retryForMs = retryForMs;
    this.#startedAt = clock.now();
    this.#movedAt = this.#startedAt;
    this.#rate = new Rate(clock);
  }

  apply(event: TransferEvent): void {
    const now = this.#clock.now();
    switch (event.type) {
      case 'progress':
      case 'done':
        this.#applyProgress(event, now);
        break;
      case 'phase': {
        const since = this.#phase?.name === event.phase ? this.#phase.since : now;
        this.#phase = { name: event.phase, since, bytesDone: event.bytesDone, bytesTotal: event.bytesTotal };
        this.#movedAt = now;
        break;
      }
      case 'status':
        this.snapshotState = snapshotState(event.snapshotId, event.status, event.progressPercent);
        this.#movedAt = now;
        break;
      case 'retry': {
        this.#retry = { text: describeRetry(event, false), at: now, nextAt: now + event.delayMs };
        break;
      }
      case 'waiting':
        this.#waitingFor = waitingFor(event.what);
        break;
      case 'start':
        // The phase of verifying what an earlier run has done comes before it.
        this.#phase = undefined;
        this.#movedAt = now;
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
    if (before?.bytesDone !== bytesDone || before.bytesTransferred !== bytesTransferred) {
      this.#movedAt = now;
      this.#waitingFor = undefined;
    }
    this.#rate.add(bytesTransferred);
  }

  get #idleMs(): number {
    return this.#clock.now() - this.#movedAt;
  }

  get #stalled(): boolean {
    return this.#idleMs >= stalledAfterMs;
  }

  /** Whether a phase has begun in which no blocks are transferred. */
  get inPhase(): boolean {
    return this.#phase !== undefined;
  }

  /** Whether a bar means something: not in a phase that moves no bytes. */
  get showsBar(): boolean {
    return this.#phase === undefined || this.#phase.bytesTotal !== undefined;
  }

  /** Payload bytes per second, as a moving average; 0 when nothing moves. */
  get bytesPerSecond(): number {
    return this.#stalled || this.inPhase ? 0 : this.#rate.perSecond;
  }

  /** Seconds until all blocks are moved at the current rate, or undefined if unknown. */
  get etaSeconds(): number | undefined {
    const rate = this.bytesPerSecond;
    if (!this.latest?.bytesToMoveKnown || rate <= 0) return undefined;
    return (this.latest.bytesToMove - this.latest.bytesTransferred) / rate;
  }

  /** 0 … 100 of the work, rounded down, so that 100 means done; undefined while the amount of work is not known. */
  get percent(): number | undefined {
    if (this.#phase?.bytesTotal)
      return Math.floor(((this.#phase.bytesDone ?? 0) / this.#phase.bytesTotal) * 100);
    const { latest } = this;
    if (latest === undefined || !latest.bytesToMoveKnown) return undefined;
    const { bytesDone, bytesTotal, bytesTransferred, bytesToMove } = latest;
    if (bytesToMove === 0) return bytesTotal === 0 ? 0 : Math.floor((bytesDone / bytesTotal) * 100);
    const percent = Math.floor((bytesTransferred / bytesToMove) * 100);
    // All is moved, but zeros are still to be written.
    return percent === 100 && bytesDone < bytesTotal ? 99 : percent;
  }

  /** Bytes moved, rate, time remaining; in a phase that moves none, what was moved. Undefined while only a list is read. */
  get amounts(): string | undefined {
    if (!this.latest) return this.#phase?.name === 'listing' ? undefined : nothingTransferred;
    if (this.inPhase) return transferred(this.latest);
    return amounts(this.latest, this.percent, this.bytesPerSecond, this.etaSeconds);
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
    const retry = this.#retry;
    const retrying = retry !== undefined && retry.at >= this.#movedAt;
    if (this.#stalled && retrying) {
      return describeStall(retry.text, {
        idleMs: this.#idleMs,
        nextTryMs: Math.max(0, retry.nextAt - now),
        givingUpMs: Math.max(0, this.#movedAt + this.#retryForMs - now),
      });
    }
    if (this.#phase !== undefined) {
      const { name, since, bytesDone, bytesTotal } = this.#phase;
      const what = name === 'waiting' && this.snapshotState !== undefined ? this.snapshotState : phases[name];
      return phaseLine(what, now - since, bytesDone, bytesTotal);
    }
    if (this.snapshotState !== undefined) return phaseLine(this.snapshotState, now - this.#startedAt);
    if (!this.#stalled) return undefined;
    return describeStall(this.#waitingFor ?? waitingFor('the service'), { idleMs: this.#idleMs });
  }

  /** The whole status on one line. */
  get line(): string {
    const amounts = this.latest || this.snapshotState === undefined ? this.amounts : undefined;
    return [amounts, this.troubles, this.activity].filter((part) => part !== undefined).join('; ');
  }
}
