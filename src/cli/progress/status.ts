/** What is known of a running transfer: gathers its events, and puts them into words for every kind of display. */
import type { TransferEvent, TransferPhase, TransferProgress } from '../../transfer/events.ts';
import type { Clock } from '../io.ts';
import { formatBytes, formatCount, formatDuration, formatRate } from './format.ts';

/** The moving average looks back so far: long enough to be calm, short enough to show a change. */
const windowMs = 10_000;
/** At most so many samples a second are kept, however often events come. */
const sampleEveryMs = 250;
/** Without movement for so long, the display says what it is waiting for. */
const stalledAfterMs = 10_000;

interface Sample {
  at: number;
  bytesDone: number;
  bytesTransferred: number;
}

const phases: Readonly<Record<TransferPhase, string>> = {
  committing: 'making the target durable',
  completing: 'completing the snapshot',
  waiting: 'waiting for the snapshot',
};

export class TransferStatus {
  /** What is going on, in a few words, known before the first event. */
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
      case 'status': {
        const percent = event.progressPercent === undefined ? '' : ` (${event.progressPercent} %)`;
        this.snapshotState = `${event.snapshotId} is ${event.status}${percent}`;
        this.#movedAt = now;
        break;
      }
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
    // The newest sample outside of the window stays: it is where the window begins.
    while (this.#samples.length > 2 && now - this.#samples[1]!.at >= windowMs) this.#samples.shift();
  }

  /** Bytes per second over the last seconds; 0 while nothing is known. */
  #rate(key: 'bytesDone' | 'bytesTransferred'): number {
    const first = this.#samples[0];
    if (!first || !this.latest) return 0;
    const elapsed = this.#clock.now() - first.at;
    return elapsed <= 0 ? 0 : ((this.latest[key] - first[key]) * 1000) / elapsed;
  }

  /** Payload bytes per second over the network, as a moving average. */
  get bytesPerSecond(): number {
    return this.#rate('bytesTransferred');
  }

  /** Seconds to go at the present speed, or undefined while that cannot be told. */
  get etaSeconds(): number | undefined {
    const rate = this.#rate('bytesDone');
    // In its last phase a run waits for other things than bytes.
    if (!this.latest || rate <= 0 || this.phase !== undefined) return undefined;
    return (this.latest.bytesTotal - this.latest.bytesDone) / rate;
  }

  /** 0 … 100; rounded down, so that 100 means all. */
  get percent(): number {
    const { bytesDone = 0, bytesTotal = 0 } = this.latest ?? {};
    return bytesTotal > 0 ? Math.floor((bytesDone / bytesTotal) * 100) : 0;
  }

  /** `12.0 GiB of 100.0 GiB (12 %), 385.2 MiB/s, about 4 min 0 s left`. */
  get amounts(): string {
    if (!this.latest) return 'nothing transferred yet';
    const { bytesDone, bytesTotal } = this.latest;
    const eta = this.etaSeconds;
    const left =
      eta === undefined || this.percent === 100 ? '' : `, about ${formatDuration(eta * 1000)} left`;
    const done = `${formatBytes(bytesDone)} of ${formatBytes(bytesTotal)} (${this.percent} %)`;
    return `${done}, ${formatRate(this.bytesPerSecond)}${left}`;
  }

  /** `3 retries, 1 throttle, now at most 500 requests/s`, or nothing when all goes well. */
  get troubles(): string | undefined {
    const { retries = 0, throttles = 0, requestsPerSecond = 0, requestsInFlight = 0 } = this.latest ?? {};
    const parts: string[] = [];
    if (retries > 0) parts.push(formatCount(retries, 'retry', 'retries'));
    if (throttles > 0) parts.push(formatCount(throttles, 'throttle', 'throttles'));
    if (throttles > 0 && requestsPerSecond < this.#mostPerSecond) {
      parts.push(`now at most ${formatCount(Math.floor(requestsPerSecond), 'request', 'requests')}/s`);
    }
    if (requestsInFlight < this.#mostInFlight) parts.push(`slow line: at most ${requestsInFlight} in flight`);
    return parts.length === 0 ? undefined : parts.join(', ');
  }

  /** What is being done or waited for, when it is not simply blocks moving. */
  get activity(): string | undefined {
    const now = this.#clock.now();
    const still = now - this.#movedAt;
    const phase = this.phase === undefined ? undefined : phases[this.phase];
    if (still < stalledAfterMs) return this.snapshotState ?? phase;
    const retry = this.#lastRetry;
    const reason =
      retry && retry.at >= this.#movedAt
        ? retry.text
        : (this.snapshotState ?? phase ?? 'waiting for the service');
    return `nothing has moved for ${formatDuration(still)}: ${reason}`;
  }

  /** All of it on one line. */
  get line(): string {
    const amounts = this.latest || this.snapshotState === undefined ? this.amounts : undefined;
    return [amounts, this.troubles, this.activity].filter((part) => part !== undefined).join('; ');
  }
}

/** `GetSnapshotBlock of block 17 failed in the service (HTTP 500); attempt 3 in 4.0 s`. */
export function describeRetry(event: Extract<TransferEvent, { type: 'retry' }>): string {
  const { operation, block, message, attempt, delayMs } = event;
  const what = block === undefined ? operation : `${operation} of block ${block}`;
  const sentence = message.includes(operation) ? message : `${what} failed: ${message}`;
  return `${sentence}; attempt ${attempt + 1} in ${formatDuration(delayMs)}`;
}
