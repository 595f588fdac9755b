/** Records requests and resolves waits for them. */

import type { RequestRecord } from './options.ts';

/** Records kept; twice as many before the older half is discarded. */
const KEEP = 100_000;
const SECRET_HEADERS = new Set(['authorization', 'x-amz-security-token']);

/** A record that is still being filled in. */
export type OpenRecord = { -readonly [Name in keyof RequestRecord]: RequestRecord[Name] };

interface Waiter {
  predicate: (record: RequestRecord) => boolean;
  remaining: number;
  counted: Set<number>;
  resolve: (record: RequestRecord) => void;
  reject: (error: Error) => void;
}

export class RequestLog {
  readonly records: OpenRecord[] = [];
  readonly #waiters = new Set<Waiter>();
  #seq = 0;

  nextSeq(): number {
    return ++this.#seq;
  }

  add(record: OpenRecord): void {
    if (this.records.length >= 2 * KEEP) this.records.splice(0, KEEP);
    this.records.push(record);
    this.changed(record);
  }

  /** Reports that a record has changed. */
  changed(record: RequestRecord): void {
    for (const waiter of this.#waiters) this.#offer(waiter, record);
  }

  wait(predicate: (record: RequestRecord) => boolean, count = 1): Promise<RequestRecord> {
    return new Promise((resolve, reject) => {
      const waiter: Waiter = { predicate, remaining: count, counted: new Set(), resolve, reject };
      this.#waiters.add(waiter);
      for (const record of this.records) this.#offer(waiter, record);
    });
  }

  close(): void {
    for (const { reject } of this.#waiters)
      reject(new Error('the emulator was closed before a matching request arrived'));
    this.#waiters.clear();
  }

  #offer(waiter: Waiter, record: RequestRecord): void {
    if (waiter.remaining === 0 || waiter.counted.has(record.seq) || !waiter.predicate(record)) return;
    waiter.counted.add(record.seq);
    if (--waiter.remaining > 0) return;
    this.#waiters.delete(waiter);
    waiter.resolve(record);
  }
}

/** The headers without secrets. */
export function publicHeaders(headers: NodeJS.Dict<string[]>): Record<string, string> {
  const kept = Object.entries(headers).filter(([name]) => !SECRET_HEADERS.has(name));
  return Object.fromEntries(kept.map(([name, values]) => [name, (values ?? []).join(', ')]));
}

/** Path and query without block and page tokens. */
export function publicPath(target: string): string {
  return target.replace(/([?&](?:blockToken|pageToken)=)[^&]*/g, '$1***');
}
