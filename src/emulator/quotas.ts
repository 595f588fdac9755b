/** Request quotas, as token buckets. */

import { ServiceError } from './errors.ts';
import type { EmulatorQuotas } from './options.ts';

/** Holds up to one second's worth of requests. */
class Bucket {
  readonly #perSecond: number;
  #tokens: number;
  #filledAt: number;

  constructor(perSecond: number, now: number) {
    this.#perSecond = perSecond;
    this.#tokens = Math.max(1, perSecond);
    this.#filledAt = now;
  }

  take(now: number): boolean {
    const earned = (Math.max(0, now - this.#filledAt) / 1000) * this.#perSecond;
    this.#tokens = Math.min(Math.max(1, this.#perSecond), this.#tokens + earned);
    this.#filledAt = now;
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }
}

export class Quotas {
  readonly #quotas: EmulatorQuotas;
  readonly #now: () => number;
  readonly #buckets = new Map<string, Bucket>();

  constructor(quotas: EmulatorQuotas, now: () => number) {
    this.#quotas = quotas;
    this.#now = now;
  }

  /** Counts a request. @throws ServiceError if it exceeds a quota */
  check(operation: string, snapshotId: string | undefined): void {
    const { getPerSecond, putPerSecond, listPerSecond, startPerSecond } = this.#quotas;
    switch (operation) {
      case 'GetSnapshotBlock':
        this.#checkBlocks('get', getPerSecond, snapshotId);
        return;
      case 'PutSnapshotBlock':
        this.#checkBlocks('put', putPerSecond, snapshotId);
        return;
      case 'ListSnapshotBlocks':
      case 'ListChangedBlocks':
        if (!this.#take('list', listPerSecond)) throw requestThrottled('ACCOUNT_THROTTLED');
        return;
      case 'StartSnapshot':
        if (!this.#take('start', startPerSecond)) {
          const message = 'You have reached the limit for concurrent API requests.';
          throw new ServiceError(400, 'ConcurrentLimitExceededException', message);
        }
        return;
      case 'CompleteSnapshot':
        if (!this.#take('complete', startPerSecond)) throw throttled();
    }
  }

  /** @throws ServiceError if another pending snapshot would exceed the quota */
  checkPending(pending: number): void {
    const { maxPending } = this.#quotas;
    if (maxPending === undefined || pending < maxPending) return;
    throw new ServiceError(
      402,
      'ServiceQuotaExceededException',
      `You have reached your quota of ${maxPending} pending snapshots per account.`,
    );
  }

  #checkBlocks(kind: string, perSecond: number | undefined, snapshotId: string | undefined): void {
    if (!this.#take(`${kind} ${snapshotId}`, perSecond)) throw requestThrottled('RESOURCE_LEVEL_THROTTLE');
    if (!this.#take(kind, perSecond)) throw throttled();
  }

  #take(key: string, perSecond: number | undefined): boolean {
    if (perSecond === undefined) return true;
    let bucket = this.#buckets.get(key);
    if (bucket === undefined) {
      bucket = new Bucket(perSecond, this.#now());
      this.#buckets.set(key, bucket);
    }
    return bucket.take(this.#now());
  }
}

function requestThrottled(reason: string): ServiceError {
  return new ServiceError(400, 'RequestThrottledException', 'The rate of requests is too high.', reason);
}

function throttled(): ServiceError {
  return new ServiceError(400, 'ThrottlingException', 'Rate exceeded');
}
