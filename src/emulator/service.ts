/** What every operation works with. */

import { invalidParameter, snapshotNotFound, validation } from './errors.ts';
import type { Settings } from './options.ts';
import type { Quotas } from './quotas.ts';
import type { Snapshot } from './snapshot.ts';
import type { Store } from './store.ts';
import type { Tokens } from './tokens.ts';

export interface Service {
  readonly settings: Settings;
  readonly store: Store;
  readonly tokens: Tokens;
  readonly quotas: Quotas;
}

/** A request that has arrived whole and whose operation is known. */
export interface ApiRequest {
  readonly operation: string;
  /** As in the path; empty where the operation has none. */
  readonly snapshotId: string;
  /** As in the path; -1 where the operation has none. */
  readonly blockIndex: number;
  readonly query: URLSearchParams;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
  readonly requestId: string;
}

/** A header's value, or undefined. @throws ServiceError when it was sent more than once */
export function header(request: ApiRequest, name: string): string | undefined {
  const value = request.headers[name.toLowerCase()];
  if (Array.isArray(value)) throw invalidParameter(`The header ${name} was sent more than once.`);
  return value;
}

export function isSnapshotId(id: string): boolean {
  return /^snap-[0-9a-f]+$/.test(id) && id.length <= 64;
}

/** @throws ServiceError when the ID is malformed */
export function checkSnapshotId(id: string): void {
  if (!isSnapshotId(id)) {
    throw validation('INVALID_SNAPSHOT_ID', `The snapshot ID '${id}' is not valid.`);
  }
}

/** A whole number from a header or query parameter. @throws ServiceError when it is not one within the range */
export function wholeNumber(name: string, text: string, least: number, most: number): number {
  const value = Number(text);
  if (!/^-?\d+$/.test(text) || value < least || value > most) {
    throw invalidParameter(`${name} must be a whole number from ${least} to ${most}.`);
  }
  return value;
}

/** A snapshot that can be listed and read. @throws ServiceError when there is none */
export function readableSnapshot(service: Service, id: string): Snapshot {
  checkSnapshotId(id);
  const snapshot = service.store.get(id);
  if (snapshot === undefined) throw snapshotNotFound(id);
  const { status, completedAt } = snapshot.metadata;
  if (status !== 'completed') {
    throw validation('INVALID_SNAPSHOT_ID', `The snapshot '${id}' is ${status}, not completed.`);
  }
  const { now, notVisibleMs } = service.settings;
  if (now() - (completedAt ?? 0) < notVisibleMs) throw snapshotNotFound(id);
  return snapshot;
}

/** A snapshot that blocks can be put into. @throws ServiceError when there is none */
export function pendingSnapshot(service: Service, id: string): Snapshot {
  checkSnapshotId(id);
  const snapshot = service.store.get(id);
  const { now, notVisibleMs } = service.settings;
  if (snapshot === undefined || now() - snapshot.metadata.startTime < notVisibleMs)
    throw snapshotNotFound(id);
  const { status, completion } = snapshot.metadata;
  if (status !== 'pending') {
    throw validation('INVALID_SNAPSHOT_ID', `The snapshot '${id}' is ${status}, not pending.`);
  }
  if (completion !== undefined) {
    throw validation('INVALID_SNAPSHOT_ID', `The snapshot '${id}' is being completed already.`);
  }
  return snapshot;
}
