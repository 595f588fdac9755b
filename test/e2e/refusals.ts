/** Command lines that cannot be right, and what each must end with: one sentence, its exit code, and nothing touched. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import type { EmulatorOptions } from '../../src/emulator/index.ts';
import { type Environment, ours, type Tool, Workplace } from '../support/workplace.ts';

export interface Refusal {
  /** A sentence: what is wrong, and what becomes of it. */
  readonly title: string;
  /** The command line, in a shell's words but for quotes; SNAP is a snapshot that is there. */
  readonly words: string | readonly string[];
  readonly exit: number;
  /** What the first line on stderr that is an error must match, after `coldsnap: `. */
  readonly says: RegExp;
  /** What to do about it, on the line after. */
  readonly hint?: RegExp;
  /** Requests that were made, in order, each once; none unless given. */
  readonly requests?: readonly string[];
  readonly env?: Environment;
  readonly emulator?: EmulatorOptions;
  /** Prepares the place. */
  readonly given?: (place: Workplace, t: TestContext) => void | Promise<void>;
  /** Runs the tool instead of this one itself. */
  readonly through?: Tool;
}

export const SNAP = 'snap-0123456789abcdef0';

/** Runs the command line, and checks all that a refusal promises. */
export async function refuse(t: TestContext, refusal: Refusal): Promise<void> {
  const place = await Workplace.for(t, refusal.emulator);
  const blocks = new Map([[0, Buffer.alloc(524_288, 'data')]]);
  await place.emulator.putSnapshot({ id: SNAP, volumeSizeGiB: 1, blocks });
  await refusal.given?.(place, t);
  const words = typeof refusal.words === 'string' ? refusal.words.split(' ') : refusal.words;
  const before = stateOf(place);

  const env = { AWS_ENDPOINT_URL: place.emulator.url, ...refusal.env };
  const named = words.map((word) => word.replace('URL', place.emulator.url).replace('SNAP', SNAP));
  const { exit, stdout, stderr } = await place.run(refusal.through ?? ours, named, env);

  const lines = stderr.split('\n');
  const at = lines.findIndex((line) => line.startsWith('coldsnap: '));
  assert.notEqual(at, -1, stderr);
  assert.match(lines[at]!.slice('coldsnap: '.length), refusal.says);
  if (refusal.hint !== undefined) assert.match(lines[at + 1]!, refusal.hint);
  assert.doesNotMatch(stderr, /internal error|^\s+at /m);
  assert.deepEqual([exit, stdout], [refusal.exit, ''], stderr);
  assert.deepEqual(
    place.emulator.log.map(({ operation }) => operation),
    refusal.requests ?? [],
  );
  assert.deepEqual(stateOf(place), before, 'something was touched');
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
