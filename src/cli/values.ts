/** Parsers for the values of options. They throw InvalidArgumentError with a sentence on what is accepted. */
import { InvalidArgumentError } from 'commander';
import type { SnapshotTag } from '../ebs/api.ts';
import { duplicateTag, expectWholeNumber, values } from './messages.ts';

/** A parser for whole numbers from `min` to `max`. */
export function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
    if (!(value >= min && value <= max)) throw new InvalidArgumentError(expectWholeNumber(min, max));
    return value;
  };
}

const unitMs: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** `90`, `90s`, `10m`, `1.5h` or `1d`, in milliseconds; a bare number is seconds. */
export function duration(text: string): number {
  const match = /^(\d+(?:\.\d+)?)([smhd]?)$/.exec(text);
  const ms = match ? Number(match[1]) * unitMs[match[2] || 's']! : Number.NaN;
  // setTimeout accepts at most about 24 days; a longer timer would fire immediately.
  if (!(ms > 0 && ms <= 2 ** 31 - 1)) throw new InvalidArgumentError(values.duration);
  return Math.round(ms);
}

/** A number of MiB above 0, in bytes. */
export function mebibytes(text: string): number {
  const value = /^\d+(?:\.\d+)?$/.test(text) ? Number(text) * 2 ** 20 : Number.NaN;
  if (!(value > 0 && Number.isSafeInteger(Math.ceil(value)))) {
    throw new InvalidArgumentError(values.rate);
  }
  return value;
}

/** An http or https URL without user, query or fragment, so that it contains no secret and can be printed. */
export function endpointUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || !/^https?:$/.test(url.protocol)) {
    throw new InvalidArgumentError(values.url);
  }
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '') {
    throw new InvalidArgumentError(values.endpointParts);
  }
  return text;
}

/**
 * `Key=k,Value=v`, as in the AWS CLI (keys and values may contain commas and equals signs), or `k=v`. Repeatable: adds to
 * `previous`.
 */
export function tag(text: string, previous: readonly SnapshotTag[] = []): SnapshotTag[] {
  const long = /^Key=(.*?),Value=(.*)$/s.exec(text);
  // A mistyped long form must not become a tag in the short form.
  const mistaken = /^Key=|^(key|value)=.*,(key|value)=/is.test(text);
  const match = long ?? (mistaken ? null : /^([^=]*)=(.*)$/s.exec(text));
  if (!match) throw new InvalidArgumentError(values.tag);
  const [, key, value] = match as unknown as [string, string, string];
  if (key === '') throw new InvalidArgumentError(values.tagKey);
  if (previous.some((other) => other.key === key)) throw new InvalidArgumentError(duplicateTag(key));
  return [...previous, { key, value }];
}

/** Any text except the empty one, which is usually an unset shell variable. */
export function nonEmpty(text: string): string {
  if (text === '') throw new InvalidArgumentError(values.empty);
  return text;
}
