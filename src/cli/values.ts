/** Parsers for the values of options. They throw InvalidArgumentError: `… is not a whole number from 1 to 1024`. */
import { InvalidArgumentError } from 'commander';
import type { SnapshotTag } from '../ebs/api.ts';
import { withoutUser } from '../text.ts';
import type { TagFilter } from '../transfer/options.ts';
import { duplicateTag, expected, isNot, wholeNumbers } from './messages.ts';
import { parseDuration, parseSize } from './units.ts';

/** A parser for whole numbers from `min` to `max`. A plus sign may precede them, as in 0.12. */
export function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = /^\+?\d+$/.test(text) ? Number(text) : Number.NaN;
    if (!(value >= min && value <= max)) throw new InvalidArgumentError(isNot(text, wholeNumbers(min, max)));
    return value;
  };
}

/** A number above 0 and at most 100. */
export function percent(text: string): number {
  const value = /^\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN;
  if (!(value > 0 && value <= 100)) throw new InvalidArgumentError(isNot(text, expected.percent));
  return value;
}

/** `90`, `90s`, `1h30m` or `500ms`, in milliseconds; a bare number is seconds. */
export function duration(text: string): number {
  const ms = parseDuration(text) ?? 0;
  // setTimeout accepts at most about 24 days; a longer timer would fire immediately.
  if (!(ms > 0 && ms <= 2 ** 31 - 1)) throw new InvalidArgumentError(isNot(text, expected.duration));
  return Math.max(1, Math.round(ms));
}

/** `40`, `40M`, `2.5MiB/s` or `40MB/s`, in bytes per second; a bare number is MiB. */
export function rate(text: string): number {
  const bytes = parseSize(text.replace(/\/s$/, ''), 2 ** 20) ?? 0;
  if (!(bytes > 0 && Number.isSafeInteger(Math.ceil(bytes)))) {
    throw new InvalidArgumentError(isNot(text, expected.rate));
  }
  return bytes;
}

/** `8`, `8G`, `8GiB`, `2048M` or `1T`, in GiB; a bare number is GiB. */
export function volumeSize(text: string): number {
  const gib = (parseSize(text.replace(/^\+/, ''), 2 ** 30) ?? 0) / 2 ** 30;
  // Number('8.0') would be accepted as a whole number; 0.12 accepts digits only.
  if (!(gib >= 1 && gib <= 65_536 && Number.isInteger(gib)) || /^\+?\d+\.\d*$/.test(text)) {
    throw new InvalidArgumentError(isNot(text, expected.volumeSize));
  }
  return gib;
}

/** An http or https URL without user, query or fragment, so that it contains no secret and can be printed. */
export function endpointUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (!url || !/^https?:$/.test(url.protocol)) {
    throw new InvalidArgumentError(isNot(withoutUser(text), expected.url));
  }
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '') {
    throw new InvalidArgumentError(expected.endpointParts);
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
  if (!match) throw new InvalidArgumentError(isNot(text, expected.tag));
  const [, key, value] = match as unknown as [string, string, string];
  if (key === '') throw new InvalidArgumentError(expected.tagKey);
  if (previous.some((other) => other.key === key)) throw new InvalidArgumentError(duplicateTag(key));
  return [...previous, { key, value }];
}

/** Any text except the empty one, which is usually an unset shell variable. */
export function nonEmpty(text: string): string {
  if (text === '') throw new InvalidArgumentError(expected.empty);
  return text;
}

/** A file to write, which cannot be stdout. */
export function outputFile(text: string): string {
  if (text === '-') throw new InvalidArgumentError(expected.outputFile);
  return nonEmpty(text);
}

/** A filter by tag: `Name` (with any value), `Name=web` or `Key=Name,Value=web`. Repeatable: adds to `previous`. */
export function tagFilter(text: string, previous: readonly TagFilter[] = []): TagFilter[] {
  if (text !== '' && !text.includes('=')) return [...previous, { key: text }];
  return [...previous, ...tag(text)];
}
