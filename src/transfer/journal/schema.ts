/** Checks shared by the journals of both directions. */
import type { ServiceIdentity } from '../../ebs/service.ts';
import type { BlockRange } from '../engine/range-set.ts';

export function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

export function isRanges(value: unknown): value is readonly BlockRange[] {
  return (
    Array.isArray(value) &&
    value.every(
      (range) => Array.isArray(range) && isCount(range[0]) && isCount(range[1]) && range[0] < range[1],
    )
  );
}

export function isOptional(value: unknown, type: 'string' | 'boolean'): boolean {
  return value === undefined || typeof value === type;
}

export function isService(value: unknown): value is ServiceIdentity {
  const service = value as Partial<ServiceIdentity> | null | undefined;
  return (
    typeof service?.endpoint === 'string' &&
    typeof service.region === 'string' &&
    isOptional(service.account, 'string')
  );
}

/** A journal of format 1, which had samples instead of digests of everything. */
export function isEarlierVersion(content: unknown): boolean {
  return (content as { version?: unknown } | null)?.version === 1;
}

export const provesTooLittle = 'it was written by an earlier version, which could not prove what it claims';
