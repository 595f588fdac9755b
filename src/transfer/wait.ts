/** Waits until a snapshot is in a state, and, when that is `completed`, until it can be read. */
import { abortable, deadline, pause } from '../cancel.ts';
import { runningTime } from '../clock.ts';
import type { CallOptions, EbsDirectApi } from '../ebs/api.ts';
import type { SnapshotState, SnapshotStates } from '../ebs/ec2.ts';
import { Service } from '../ebs/service.ts';
import { ColdsnapError } from '../errors.ts';
import { formatDuration } from '../text.ts';
import type { WarningCode } from '../warning-codes.ts';
import type { TransferListener } from './events.ts';
import { takeOptions } from './option-types.ts';
import type { WaitConditions, WaitOptions, WaitResult } from './options.ts';
import { checkWaitConditions, readableSnapshotId } from './run/checks.ts';
import { Run } from './run/run.ts';
import { snapshotInDeadState, snapshotNotFound, snapshotNotReadable, waitTimedOut } from './wait-messages.ts';
import { warnings } from './warnings.ts';

/** EC2 is eventually consistent: a new snapshot may be unknown to it for up to two minutes. */
export const NOT_FOUND_MS = 120_000;
/** `completed` in EC2 does not mean that the block list is there yet; it follows within seconds, minutes at worst. */
const NOT_READABLE_MS = 180_000;
/** Loading and connecting EC2's client may take this long, however short the timeout is. */
const MIN_CONNECT_MS = 1_000;

/** The requests of a wait, and its clock; tests use a clock that they move. */
export interface WaitServices {
  describe: SnapshotStates['describe'];
  /** Resolves when the snapshot's block list answers. Called once EC2 says `completed`. */
  listBlocks: EbsDirectApi['listSnapshotBlocks'];
  /** Milliseconds. */
  now: () => number;
  pause: (ms: number, signal?: AbortSignal) => Promise<void>;
}

/**
 * Waits until a snapshot is in the desired state (`completed` unless said otherwise). After `completed` it also waits
 * until the EBS direct APIs list the snapshot, so that a download can follow at once; where this identity may not list
 * it or cannot reach the EBS endpoint, that is a warning.
 *
 * The wait has no limit unless `timeoutMs` or `maxAttempts` set one: a snapshot may take hours, and the service moves one
 * that is never completed to `error`. A snapshot that EC2 does not list is polled for 2 minutes.
 *
 * @throws ColdsnapError code `WAIT_TIMED_OUT` (class `gave-up`) at a limit; `SNAPSHOT_FAILED` (`permanent`) when the
 *   snapshot has gone to `error` or to the Recycle Bin instead; `SNAPSHOT_NOT_FOUND` (`permanent`);
 *   `SNAPSHOT_NOT_READABLE` (`gave-up`) when it is completed but cannot be listed for 3 minutes; class `usage` for bad
 *   arguments
 */
export async function waitForSnapshot(options: WaitOptions): Promise<WaitResult> {
  options = takeOptions(options);
  const snapshotId = readableSnapshotId(options.snapshotId);
  checkWaitConditions(options);
  const run = new Run(options);
  const service = new Service(options, 1, run.meter.retry);
  const conditions = { ...options, signal: run.signal };
  return run.carryOut(async () => {
    await connect(snapshotId, run, service, options.timeoutMs).catch((error) => {
      service.close();
      throw error;
    });
    return waitUntil(snapshotId, conditions, run.meter.emit, waitServices(service)).finally(() =>
      service.close(),
    );
  });
}

/** Connects to EC2. The time that this takes does not count, and has a limit of its own. */
async function connect(
  snapshotId: string,
  run: Run,
  service: Service,
  timeoutMs = Number.POSITIVE_INFINITY,
): Promise<void> {
  const ms = Math.max(timeoutMs, MIN_CONNECT_MS);
  const limit = deadline(ms, run.signal, () =>
    waitTimedOut(snapshotId, 'has not been described', formatDuration(ms)),
  );
  try {
    await abortable(service.ec2(), limit.signal);
  } finally {
    limit.end();
  }
}

/** The requests of a wait, made to a service. EBS is connected only once EC2 says `completed`. */
export function waitServices(service: Service): WaitServices {
  return {
    describe: async (snapshotId, call) => (await service.ec2()).describe(snapshotId, call),
    listBlocks: async (request, call) => (await service.ebs()).api.listSnapshotBlocks(request, call),
    now: runningTime,
    pause,
  };
}

/** {@link waitForSnapshot} over any services; the arguments are known to be good. */
export async function waitUntil(
  snapshotId: string,
  options: WaitConditions & { signal?: AbortSignal | undefined },
  emit: TransferListener,
  services: WaitServices,
): Promise<WaitResult> {
  const started = services.now();
  const watch = new SnapshotWatch(snapshotId, options, emit, services);
  const { timeoutMs = Number.POSITIVE_INFINITY } = options;
  const limit = deadline(timeoutMs, options.signal, () => watch.timedOut(formatDuration(timeoutMs)));
  const { signal } = limit;
  const wait = async () => {
    const status = await watch.reachState({ signal });
    if (status === 'completed') await watch.becomeReadable({ signal });
    return status;
  };
  try {
    // A request may hang in what gives the credentials, and is left behind.
    const status = await abortable(wait(), signal);
    return { snapshotId, status, attempts: watch.attempts, elapsedMs: services.now() - started };
  } finally {
    limit.end();
  }
}

class SnapshotWatch {
  /** Times that the state was asked for. */
  attempts = 0;
  readonly #snapshotId: string;
  readonly #conditions: WaitConditions;
  readonly #emit: TransferListener;
  readonly #services: WaitServices;
  readonly #pauseMs: number;
  #last: SnapshotState | undefined;
  #lastKnownAt: number;
  #everKnown = false;
  #warnedUnknown = false;
  #stateReached = false;

  constructor(
    snapshotId: string,
    conditions: WaitConditions,
    emit: TransferListener,
    services: WaitServices,
  ) {
    this.#snapshotId = snapshotId;
    this.#conditions = conditions;
    this.#emit = emit;
    this.#services = services;
    this.#pauseMs = (conditions.secondsBetweenAttempts ?? 2) * 1000;
    this.#lastKnownAt = services.now();
  }

  /** Asks until the desired state has shown itself often enough, and returns it. */
  async reachState(call: CallOptions): Promise<string> {
    const { desiredStatus = 'completed', successesRequired = 3 } = this.#conditions;
    const { maxAttempts = Number.POSITIVE_INFINITY } = this.#conditions;
    let successes = 0;
    let misses = 0;
    for (;;) {
      const state = await this.#ask(call);
      if (state?.state === desiredStatus) {
        successes++;
        if (successes >= successesRequired) return desiredStatus;
      } else {
        if (state === undefined) this.#checkKnown();
        else checkAlive(state);
        successes = 0;
        misses++;
        if (misses >= maxAttempts) throw this.timedOut(misses === 1 ? '1 attempt' : `${misses} attempts`);
      }
      await this.#services.pause(this.#pauseMs, call.signal);
    }
  }

  /** Asks for the start of the block list until the service gives it. */
  async becomeReadable(call: CallOptions): Promise<void> {
    const { listBlocks, now } = this.#services;
    const start = now();
    this.#stateReached = true;
    for (;;) {
      try {
        await listBlocks({ snapshotId: this.#snapshotId, maxResults: 100 }, call);
        return;
      } catch (error) {
        if (!(error instanceof ColdsnapError)) throw error;
        if (error.class === 'config') {
          // The state was reached; an identity that only waits may not be allowed to list.
          this.#warn(...warnings.notProbed(this.#snapshotId, error));
          return;
        }
        if (error.class !== 'permanent') throw error;
        const elapsed = now() - start;
        if (elapsed >= NOT_READABLE_MS)
          throw snapshotNotReadable(this.#snapshotId, formatDuration(elapsed), error);
      }
      await this.#services.pause(this.#pauseMs, call.signal);
    }
  }

  /** The error for a limit that was reached. */
  timedOut(after: string): ColdsnapError {
    const { desiredStatus = 'completed' } = this.#conditions;
    return waitTimedOut(this.#snapshotId, this.#describeLast(desiredStatus), after);
  }

  async #ask(call: CallOptions): Promise<SnapshotState | undefined> {
    const state = await this.#services.describe(this.#snapshotId, call);
    this.attempts++;
    this.#last = state;
    if (state !== undefined) {
      this.#everKnown = true;
      this.#lastKnownAt = this.#services.now();
    }
    const percent = state?.progressPercent;
    this.#emit({
      type: 'status',
      snapshotId: this.#snapshotId,
      status: state?.state ?? 'not found',
      ...(percent === undefined ? {} : { progressPercent: percent }),
      attempt: this.attempts,
    });
    return state;
  }

  /** @throws ColdsnapError when EC2 has not listed the snapshot for longer than its lag can be */
  #checkKnown(): void {
    const elapsed = this.#services.now() - this.#lastKnownAt;
    if (elapsed >= NOT_FOUND_MS)
      throw snapshotNotFound(this.#snapshotId, this.#everKnown, formatDuration(elapsed));
    if (this.#warnedUnknown) return;
    this.#warnedUnknown = true;
    this.#warn(...warnings.snapshotNotYetKnown(this.#snapshotId, formatDuration(NOT_FOUND_MS)));
  }

  #describeLast(desiredStatus: string): string {
    if (this.#stateReached) return 'is completed but cannot be read yet';
    if (this.#last === undefined)
      return this.attempts === 0 ? 'has not been described' : 'is still unknown to EC2';
    const { state, progressPercent } = this.#last;
    if (state === desiredStatus) return `is ${state}, but has not been so for long enough`;
    return progressPercent === undefined ? `is still ${state}` : `is still ${state} (${progressPercent} %)`;
  }

  #warn(code: WarningCode, message: string): void {
    this.#emit({ type: 'warning', code, message });
  }
}

/** @throws ColdsnapError when the snapshot is in a state that it does not leave by itself */
function checkAlive({ snapshotId, state, stateMessage }: SnapshotState): void {
  if (state === 'error' || state === 'recoverable')
    throw snapshotInDeadState(snapshotId, state, stateMessage);
}
