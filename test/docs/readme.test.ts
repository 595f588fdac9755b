/** Tables in the documents match the program. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { exitCodes } from '../../src/cli/exit-codes.ts';
import { differences } from '../interop/differences.ts';
import { read } from './markdown.ts';

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
