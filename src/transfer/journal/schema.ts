/** Checks shared by the journals of both directions. */
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
