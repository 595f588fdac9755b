/** Invalid command lines: each prints one error, exits with its code, and changes nothing. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, type TestContext } from 'node:test';
import type { EmulatorOptions } from '../../src/emulator/index.ts';
import { CommandServer } from '../support/command-server.ts';
import { type Environment, type Outcome, ours, type Tool, Workplace } from '../support/workplace.ts';

export interface Refusal {
  /** The problem, as the title of the test. */
  readonly title: string;
  /** The arguments, in an array or separated by spaces; SNAP is an existing snapshot, URL the emulator. */
  readonly args: string | readonly string[];
  readonly exit: number;
  /** Matches the first error line on stderr, after `coldsnap: `. */
  readonly message: RegExp;
  /** Matches the hint on the line after. */
  readonly hint?: RegExp;
  /** The requests made, in order; none unless given. */
  readonly requests?: readonly string[];
  readonly env?: Environment;
  readonly emulator?: EmulatorOptions;
  /** Prepares the directory and the emulator. */
  readonly given?: (place: Workplace, t: TestContext) => void | Promise<void>;
  /** The program that runs the tool; the tool itself unless given. */
  readonly through?: Tool;
}

export const SNAP = 'snap-0123456789abcdef0';

/** Runs the tool with a redirection of the shell. */
export const redirected = (redirection: string) => ({
  name: 'sh',
  command: ['sh', '-c', `exec coldsnap "$@" ${redirection}`, 'sh'] as const,
});

/** Runs the command line, and asserts its output, exit code and requests, and that nothing changed. */
export async function refuse(t: TestContext, refusal: Refusal): Promise<void> {
  const place = await Workplace.for(t, refusal.emulator);
  const blocks = new Map([[0, Buffer.alloc(524_288, 'data')]]);
  await place.emulator.putSnapshot({ id: SNAP, volumeSizeGiB: 1, blocks });
  await refusal.given?.(place, t);
  const args = typeof refusal.args === 'string' ? refusal.args.split(' ') : refusal.args;
  const before = stateOf(place);

  const env = { AWS_ENDPOINT_URL: place.emulator.url, ...refusal.env };
  const named = args.map((arg) => arg.replace('URL', place.emulator.url).replace('SNAP', SNAP));
  const { exit, stdout, stderr } = await run(place, refusal.through, named, env);

  const lines = stderr.split('\n');
  const at = lines.findIndex((line) => line.startsWith('coldsnap: '));
  assert.notEqual(at, -1, stderr);
  assert.match(lines[at]!.slice('coldsnap: '.length), refusal.message);
  if (refusal.hint !== undefined)
    assert.ok(
      lines.slice(at + 1).some((line) => refusal.hint!.test(line)),
      stderr,
    );
  assert.doesNotMatch(stderr, /internal error|^\s+at /m);
  assert.deepEqual([exit, stdout], [refusal.exit, ''], stderr);
  assert.deepEqual(
    place.emulator.log.map(({ operation }) => operation),
    refusal.requests ?? [],
  );
  assert.deepEqual(stateOf(place), before, 'a file or snapshot was changed');
}

let server: CommandServer | undefined;
after(() => server?.close());

/** Runs a command line in a process that all share, or in its own if it may use its stdin or stdout. */
function run(
  place: Workplace,
  through: Tool | undefined,
  args: readonly string[],
  env: Environment,
): Promise<Outcome> {
  if (through !== undefined || args.some((arg) => arg === '-' || arg.startsWith('/dev/')))
    return place.run(through ?? ours, args, env);
  server ??= new CommandServer();
  return server.run(args, place.directory, place.environment(env));
}

/** Every file with its contents and times, and every snapshot with its state. */
function stateOf({ directory, emulator }: Workplace): Record<string, string> {
  const state: Record<string, string> = {};
  for (const name of readdirSync(directory, { recursive: true, encoding: 'utf8' })) {
    const path = join(directory, name);
    const { size, mtimeMs, ino, mode } = lstatSync(path);
    const small = lstatSync(path).isFile() && size < 1_000_000;
    const digest = small ? createHash('sha256').update(readFileSync(path)).digest('hex') : '';
    state[name] = [size, mtimeMs, ino, mode, digest].join(' ');
  }
  for (const id of readdirSync(join(directory, '../snapshots'))) {
    if (id.startsWith('snap-')) state[id] = JSON.stringify(emulator.snapshot(id));
  }
  return state;
}
