/** Turns the words after an option into values, or says in one sentence what would have been right. */
import { InvalidArgumentError } from 'commander';
import type { SnapshotTag } from '../ebs/api.ts';

/** A parser for whole numbers from `min` to `max`. */
export function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
    if (!(value >= min && value <= max)) {
      const range = max === Number.MAX_SAFE_INTEGER ? `of at least ${min}` : `from ${min} to ${max}`;
      throw new InvalidArgumentError(`Give a whole number ${range}.`);
    }
    return value;
  };
}

const unitMs: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** `90`, `90s`, `10m`, `1.5h` or `1d`, in milliseconds; a bare number is seconds. */
export function duration(text: string): number {
  const match = /^(\d+(?:\.\d+)?)([smhd]?)$/.exec(text);
  const ms = match ? Number(match[1]) * unitMs[match[2] || 's']! : Number.NaN;
  // setTimeout's limit, about 24 days: longer would fire at once.
  if (!(ms > 0 && ms <= 2 ** 31 - 1)) {
    throw new InvalidArgumentError('Give a time such as 30s, 10m or 2h, of at most 24 days.');
  }
  return Math.round(ms);
}

/** A number of MiB above 0, in bytes. */
export function mebibytes(text: string): number {
  const value = /^\d+(?:\.\d+)?$/.test(text) ? Number(text) * 2 ** 20 : Number.NaN;
  if (!(value > 0 && Number.isSafeInteger(Math.ceil(value)))) {
    throw new InvalidArgumentError('Give a number of MiB per second above 0, such as 50 or 2.5.');
  }
  return value;
}

/** An http or https URL without user, query or fragment: nothing in it is secret, so it can be printed. */
export function endpointUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || !/^https?:$/.test(url.protocol)) {
    throw new InvalidArgumentError('Give a URL such as https://ebs.us-east-1.amazonaws.com.');
  }
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '') {
    throw new InvalidArgumentError('An endpoint has no user name, query or fragment.');
  }
  return text;
}

/**
 * `Key=k,Value=v`, as the AWS command line writes tags (keys and values may hold commas and equals signs), or `k=v`.
 * Repeatable: adds to the tags given before.
 */
export function tag(text: string, previous: readonly SnapshotTag[] = []): SnapshotTag[] {
  const long = /^Key=(.*?),Value=(.*)$/s.exec(text);
  // What looks like the long form and is not would become a tag that nobody meant.
  const mistaken = /^Key=|^(key|value)=.*,(key|value)=/is.test(text);
  const match = long ?? (mistaken ? null : /^([^=]*)=(.*)$/s.exec(text));
  if (!match) throw new InvalidArgumentError('Give a tag as Key=name,Value=text or as name=text.');
  const [, key, value] = match as unknown as [string, string, string];
  if (key === '') throw new InvalidArgumentError('A tag needs a key.');
  if (previous.some((other) => other.key === key)) {
    throw new InvalidArgumentError(`The tag '${key}' is given twice.`);
  }
  return [...previous, { key, value }];
}

/** Any text but the empty one, which is usually an unset shell variable. */
export function nonEmpty(text: string): string {
  if (text === '') throw new InvalidArgumentError('It is empty.');
  return text;
}
