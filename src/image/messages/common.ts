/** Shared by the messages about targets and sources. */
import type { ErrorCode } from '../../error-codes.ts';
import { ColdsnapError, isError } from '../../errors.ts';

const units = ['KiB', 'MiB', 'GiB', 'TiB'] as const;

/** A size for messages: exact bytes, with the largest suitable unit, for example `1073741824 bytes (1 GiB)`. */
export function formatSize(bytes: number): string {
  let value = bytes;
  let unit: string | undefined;
  for (const next of units) {
    if (value < 1024) break;
    value /= 1024;
    unit = next;
  }
  if (unit === undefined) return `${bytes} bytes`;
  return `${bytes} bytes (${Number.isInteger(value) ? value : `about ${value.toFixed(1)}`} ${unit})`;
}

/** A target or source as a message names it. */
export interface Named {
  readonly path: string;
  readonly label: string;
}

export function usage(code: ErrorCode, message: string, path: string, hint: string): ColdsnapError {
  return new ColdsnapError('usage', code, message, { path, hint });
}

export function refused(code: ErrorCode, message: string, path: string, hint: string): ColdsnapError {
  return new ColdsnapError('refused', code, message, { path, hint });
}

/** An option of the library that has the wrong type. The value is not shown, because it may be a secret. */
export function badOption(name: string, what: string, value: unknown): ColdsnapError {
  const hasNul = [value].flat().some((part) => typeof part === 'string' && part.includes('\0'));
  const type = value === null ? 'null' : Array.isArray(value) ? 'an array' : `of type ${typeof value}`;
  return new ColdsnapError(
    'usage',
    'BAD_OPTION',
    `${name} must be ${what}, but ${hasNul ? 'has a NUL character' : `is ${type}`}`,
  );
}

/** An option of the library with a string that is none of its values. */
export const badChoice = (name: string, known: readonly string[], value: string) =>
  new ColdsnapError(
    'usage',
    'BAD_OPTION',
    `${name} must be ${known.map((one) => `"${one}"`).join(' or ')}, not ${JSON.stringify(value)}`,
  );

/** @param name of the option */
export const streamUsed = (name: string) =>
  new ColdsnapError('usage', 'BAD_OPTION', `${name} is a stream that another call was given`);

export const pathNotUtf8 = (path: string, real: string) =>
  usage(
    'NAME_NOT_UTF8',
    `${path} is ${real}, whose name is not UTF-8 and cannot be passed on exactly`,
    path,
    'Rename it, or mount or link its directory under a name in UTF-8.',
  );

export const holesMoved = (path: string) =>
  new ColdsnapError('local', 'SOURCE_CHANGED', `${path} changed while it was read: its holes moved`, {
    path,
    sourceFault: true,
  });

export const closed = (path: string) =>
  new ColdsnapError('aborted', 'CLOSED', `${path} was closed`, { path });

export const streamFailed = (path: string, doing: string, cause: unknown) =>
  new ColdsnapError(
    'local',
    'STREAM_FAILED',
    `could not ${doing}: ${isError(cause) ? cause.message : String(cause)}`,
    { path, cause },
  );
