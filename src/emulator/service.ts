/** State and checks that the operations share. */

import { invalidParameter, snapshotNotFound, validation } from './errors.ts';
import type { Quotas } from './quotas.ts';
import type { Settings } from './settings.ts';
import { isSnapshotId, type Snapshot } from './snapshot.ts';
import type { Store } from './store.ts';
import type { Tokens } from './tokens.ts';

export interface Service {
  readonly settings: Settings;
  readonly store: Store;
  readonly tokens: Tokens;
  readonly quotas: Quotas;
}

/** A complete request with its operation. */
export interface ApiRequest {
  readonly operation: string;
  /** From the path; empty if the operation has none. */
  readonly snapshotId: string;
  /** From the path; -1 if the operation has none. */
  readonly blockIndex: number;
  readonly query: URLSearchParams;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
  /** SHA-256 of the body, computed on first use. */
  readonly digest: () => Buffer;
  readonly requestId: string;
}

/** A header's value, or undefined. @throws ServiceError if it was sent more than once */
export function header(request: ApiRequest, name: string): string | undefined {
  const value = request.headers[name.toLowerCase()];
  if (Array.isArray(value)) throw invalidParameter(`The header ${name} was sent more than once.`);
  return value;
}

/** @throws ServiceError if the ID is malformed */
export function checkSnapshotId(id: string): void {
  if (!isSnapshotId(id)) {
    throw validation('INVALID_SNAPSHOT_ID', `The snapshot ID '${id}' is not valid.`);
  }
}

/** Parses a header or query parameter. @throws ServiceError if it is not a whole number within the range */
export function wholeNumber(name: string, text: string, least: number, most: number): number {
  const value = Number(text);
  if (!/^-?\d+$/.test(text) || value < least || value > most) {
    throw invalidParameter(`${name} must be a whole number from ${least} to ${most}.`);
  }
  return value;
}

/** A snapshot that can be listed and read. @throws ServiceError if it does not exist or is not completed */
export function readableSnapshot(service: Service, id: string): Snapshot {
  checkSnapshotId(id);
  const snapshot = service.store.get(id);
  const { now, notVisibleMs, region } = service.settings;
  if (snapshot === undefined) throw snapshotNotFound(id, region);
  const { status, completedAt } = snapshot.metadata;
  if (status !== 'completed') {
    throw validation('INVALID_SNAPSHOT_ID', `The snapshot '${id}' is ${status}, not completed.`);
  }
  if (now() - (completedAt ?? 0) < notVisibleMs) throw snapshotNotFound(id, region);
  return snapshot;
}

/** A snapshot that accepts blocks. @throws ServiceError if it does not exist or is not pending */
export function pendingSnapshot(service: Service, id: string): Snapshot {
  checkSnapshotId(id);
  const snapshot = service.store.get(id);
  const { now, notVisibleMs, region } = service.settings;
  if (snapshot === undefined || now() - snapshot.metadata.startTime < notVisibleMs)
    throw snapshotNotFound(id, region);
  const { status, completion } = snapshot.metadata;
  if (status !== 'pending') {
    throw validation('INVALID_SNAPSHOT_ID', `The snapshot '${id}' is ${status}, not pending.`);
  }
  if (completion !== undefined) {
    throw validation('INVALID_SNAPSHOT_ID', `The snapshot '${id}' is being completed already.`);
  }
  return snapshot;
}
