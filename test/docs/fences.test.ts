/** Fences around the engine: what must not creep in as features are added. docs/architecture.md gives the reasons. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { project } from './markdown.ts';

const MAX_LINES = 250;
/** A command only composes. */
const MAX_COMMAND_LINES = 120;

interface Source {
  /** Relative to src/. */
  readonly path: string;
  readonly text: string;
}

const sources: readonly Source[] = readdirSync(join(project, 'src'), { recursive: true, encoding: 'utf8' })
  .filter((path) => path.endsWith('.ts'))
  .map((path) => ({ path, text: readFileSync(join(project, 'src', path), 'utf8') }));

const within = (...folders: string[]) =>
  sources.filter(({ path }) => folders.some((folder) => path.startsWith(`${folder}/`)));

/** Lines of code that match; comments do not count. */
function matches(files: readonly Source[], pattern: RegExp): string[] {
  return files.flatMap(({ path, text }) =>
    text
      .replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, (comment) => comment.replace(/[^\n]/g, ''))
      .split('\n')
      .flatMap((line, at) => (pattern.test(line) ? [`${path}:${at + 1}: ${line.trim()}`] : [])),
  );
}

function longerThan(lines: number, files: readonly Source[]): string[] {
  return files.filter(({ text }) => text.split('\n').length - 1 > lines).map(({ path }) => path);
}

test('the engine imports nothing of the service, of images and of journals', () => {
  assert.deepEqual(matches(within('transfer/engine'), /from '.*\/(ebs|image|journal)\//), []);
});

test('sources and sinks do not import one another', () => {
  assert.deepEqual(matches(within('transfer/sources'), /from '.*\/(sinks|snapshot\/snapshot-sink)/), []);
  assert.deepEqual(matches(within('transfer/sinks'), /from '.*\/sources\//), []);
});

test('features are composed: only options and commands know their names', () => {
  const allowed =
    /^transfer\/(options|option-types|reports|events|messages|download|download-to-targets|several-targets|target-messages|since|upload|copy|copy-options|copy-plan|copy-sides|verify|estimate|estimate-copy|estimate-targets|estimate-upload|pending|upload-base|incremental-options|base-messages)\.ts$/;
  const others = within('transfer').filter(({ path }) => !allowed.test(path));
  assert.deepEqual(matches(others, /\b(since|incremental|dryRun|verify)\b(?!\w)/), []);
});

test('only images ask what kind of image they are', () => {
  const others = sources.filter(({ path }) => !path.startsWith('image/'));
  assert.deepEqual(matches(others, /\.kind === '(device|file|stream)'/), []);
});

test(`no file is longer than ${MAX_LINES} lines`, () => {
  assert.deepEqual(longerThan(MAX_LINES, sources), []);
});

test(`no command that moves blocks is longer than ${MAX_COMMAND_LINES} lines`, () => {
  const commands = sources.filter(({ path }) => /^transfer\/(download|upload|copy|verify)\.ts$/.test(path));
  assert.equal(commands.length, 4);
  assert.deepEqual(longerThan(MAX_COMMAND_LINES, commands), []);
});

test('the library names no flag of the command line', () => {
  // Flags of other programs, which hints name with their command.
  const foreign = /\b(blockdev|qemu-img|wipefs|lsblk|aws|mkdir|losetup|ulimit|sfdisk)\b/;
  const found = matches(within('ebs', 'image', 'transfer'), /['"`][^'"`]*--[a-z][^'"`]*['"`]/);
  assert.deepEqual(
    found.filter((line) => !foreign.test(line)),
    [],
  );
});
