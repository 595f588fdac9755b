/** A process of its own in which strace makes system calls fail, be interrupted or do half the work. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before } from 'node:test';
import { bundle, type Run, runScript, runTraced } from './support.ts';

/** Paths of a directory that exists while the tests of a file run: in it the bundle of the boundary, and a file to work on. */
export const place = { directory: '', native: '', file: '' };

before(() => {
  place.directory = mkdtempSync(join(tmpdir(), 'coldsnap-faults-'));
  place.native = bundle(place.directory);
  place.file = join(place.directory, 'target');
});
after(() => rmSync(place.directory, { recursive: true, force: true }));

/** Script text: opens the file, runs `body`, prints what came of it as JSON. */
const script = (path: string, body: string, flags = "'r+'") => `
import { createHash } from 'node:crypto';
const fd = fs.openSync(${JSON.stringify(path)}, ${flags});
const data = new Uint8Array(native.allocateSlab(16384)).fill(7);
const digest = createHash('sha256').update(data).digest();
const options = { zero: 'zero', zeroMethod: 'blkzeroout' };
const write = (...offsets) => native.writeBlocks(fd, offsets.map((offset) => ({ data, offset, digest })), options);
const compare = (...offsets) =>
  native.compareBlocks(fd, offsets.map((offset) => ({ data, offset, digest })), new Uint8Array(8192));
const read = (...offsets) => native.readBlocks(fd, offsets.map((offset) => ({ data, offset })), { hash: false });
try {
  console.log(JSON.stringify({ result: await (async () => { ${body} })() }));
} catch (error) {
  const { code, syscall, offset, message } = error;
  console.log(JSON.stringify({ error: { code, syscall, offset, message } }));
}`;

export interface Report {
  result?: unknown;
  error?: { code: string; syscall: string; offset?: number; message: string };
  trace: string[];
}

function reportOf({ stdout, stderr, trace = [] }: Run & { trace?: string[] }): Report {
  assert.notEqual(stdout, '', stderr);
  return { ...(JSON.parse(stdout) as Omit<Report, 'trace'>), trace };
}

/** Runs `body` on the file or device without strace, under the command `wrap`. */
export function untraced(path: string, body: string, wrap: string[] = []): Report {
  return reportOf(runScript(place.native, script(path, body), { wrap }));
}

/**
 * Runs `body` on the file or device, traced, and with strace's injections into `calls`. `open`: what the script itself opens
 * instead.
 */
export function traced(
  path: string,
  calls: string,
  injections: readonly string[],
  body: string,
  { flags, open = path }: { flags?: string; open?: string } = {},
): Report {
  const { directory, native } = place;
  return reportOf(runTraced(directory, native, path, calls, injections, script(open, body, flags)));
}

/** The fields of pread64 and pwrite64 lines: [call, length, offset, result]. */
export function transfers(trace: string[]): [string, number, number, string][] {
  return trace.flatMap((line) => {
    const found = /^(p(?:read|write)64)\(.*, (\d+), (\d+)\) += (\S+(?: E\w+)?)/.exec(line);
    return found
      ? [[found[1]!, Number(found[2]), Number(found[3]), found[4]!] as [string, number, number, string]]
      : [];
  });
}
