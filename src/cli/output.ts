/** The only way out for text: results to stdout, everything else to stderr, and nothing unredacted on the latter. */
import type { Io } from './io.ts';
import { redact } from './redact.ts';

type Streams = Pick<Io, 'stdout' | 'stderr' | 'env'>;

/** Prints text on stdout and waits until it is out. Rejects with EPIPE when nobody reads any more. */
export async function printResult(io: Streams, text: string): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    io.stdout.write(text, (error) => (error ? reject(error) : resolve()));
  });
}

/** Prints one line on stderr. A stderr that nobody reads is no reason to stop, so errors are left to the stream. */
export function printLine(io: Streams, line: string): void {
  io.stderr.write(`${redact(line, io.env)}\n`);
}

/** Prints one JSON object as a line on stderr. Strings are redacted one by one: the line stays valid JSON. */
export function printJsonLine(io: Streams, object: object): void {
  const line = JSON.stringify(object, (_key, value: unknown) =>
    typeof value === 'string' ? redact(value, io.env) : value,
  );
  io.stderr.write(`${line}\n`);
}
