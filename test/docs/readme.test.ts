/** Tables in the documents match the program. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { exitCodes } from '../../src/cli/exit-codes.ts';
import * as coldsnap from '../../src/index.ts';
import { differences } from '../interop/differences.ts';
import { codeSpans, read } from './markdown.ts';

test('README.md lists every exit code', () => {
  const [, section = ''] = read('README.md').split('\n### Exit codes\n');
  const rows = [...section.split('\n## ', 1)[0]!.matchAll(/^\| ([\d, ]+) \| (.+) \|$/gm)];
  const listed = new Map(
    rows.flatMap(([, codes, text]) => codes!.split(', ').map((code) => [Number(code), text!])),
  );
  assert.deepEqual(
    [...listed.keys()].sort((a, b) => a - b),
    exitCodes.map(({ exitCode }) => exitCode),
  );
  for (const { exitCode, meaning } of exitCodes) {
    if (exitCode < 128) assert.equal(listed.get(exitCode), meaning);
  }
});

test('docs/library.md lists every function', () => {
  const [, table = ''] = read('docs/library.md').split('|---|---|\n');
  const listed = table
    .split('\n\n', 1)[0]!
    .split('\n')
    .flatMap((row) => codeSpans(row.split('|')[1]!));
  const exported = Object.keys(coldsnap).filter((name) => name !== 'ColdsnapError');
  const ofTheEmulator = ['startEmulator', 'coldsnap/emulator'];
  assert.deepEqual(listed.sort(), [...exported, ...ofTheEmulator].sort());
});

test('the differences from 0.12 are those of the table of command lines', () => {
  const [, list = ''] =
    /<!-- differences -->\n([\s\S]*)<!-- \/differences -->/.exec(read('docs/compared-with-0.12.md')) ?? [];
  assert.deepEqual(
    list
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => line.replace(/^- /, '')),
    Object.values(differences),
  );
});

test('the messages under Troubleshooting are messages of the program', () => {
  const [, section = ''] = read('README.md').split('\n## Troubleshooting\n');
  const messages = [...section.split('\n## ', 1)[0]!.matchAll(/^\| `([^`]+)`/gm)].map(
    ([, message]) => message!,
  );
  assert.ok(messages.length > 5);
  const sources = readdirSync(new URL('../../src', import.meta.url), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => read(`src/${name}`))
    .join('');
  // The shell's, when there is no node.
  const foreign = new Set(["env: 'node': No such file or directory"]);
  assert.deepEqual(
    messages.filter((message) => !sources.includes(message) && !foreign.has(message)),
    [],
  );
});
