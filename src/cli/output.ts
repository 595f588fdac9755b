/** All output goes through here: results to stdout; everything else, redacted, to stderr. */
import { escapeControls } from '../text.ts';
import type { Io } from './io.ts';
import { redact } from './redact.ts';
import { showsUnicode } from './terminal.ts';

type Streams = Pick<Io, 'stdout' | 'stderr' | 'env'>;

/** Prints text on stdout and waits until it is written. Rejects with EPIPE if the reader closed it. */
export async function printResult(io: Streams, text: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    io.stdout.write(text, (error) => (error ? reject(Object.assign(error, { path: 'stdout' })) : resolve()));
  });
}

/** A digest as `sha256sum` prints it, and its `--check` reads it. */
export function digestLine(path: string, sha256: string): string {
  const name = path.replace(/[\\\n\r]/g, (special) => ({ '\n': '\\n', '\r': '\\r' })[special] ?? '\\\\');
  return `${name === path ? '' : '\\'}${sha256}  ${name}`;
}

/** Prints one line on stderr, with control characters escaped. A closed stderr does not stop the command, so write errors are ignored. */
export function printLine(io: Streams, line: string): void {
  const text = escapeControls(redact(line, io.env));
  // Names keep their bytes, so that a command line can be pasted.
  const ellipsis = io.stderr.isTTY === true && !showsUnicode(io.env) ? '...' : '\u2026';
  io.stderr.write(`${text.replaceAll('\u2026', ellipsis)}\n`);
}

/** JSON without any control character: JSON.stringify() keeps those from U+007F on, which a terminal may act on, too. */
export function toJson(value: unknown, replacer?: (key: string, value: unknown) => unknown): string {
  return JSON.stringify(value, replacer).replace(
    /[\x7f-\x9f]/g,
    (control) => `\\u00${control.charCodeAt(0).toString(16)}`,
  );
}

/** Prints a JSON object as a line on stderr. Redacts each string by itself, so that the line stays valid JSON. */
export function printJsonLine(io: Streams, object: object): void {
  const line = toJson(object, (_key, value) => (typeof value === 'string' ? redact(value, io.env) : value));
  io.stderr.write(`${line}\n`);
}
