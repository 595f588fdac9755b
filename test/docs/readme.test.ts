/** What README.md repeats is what the program says. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { exitCodes } from '../../src/cli/exit-codes.ts';
import { differences } from '../interop/differences.ts';
import { read } from './markdown.ts';

const readme = read('README.md');

function section(heading: string): string {
  const [, after = ''] = readme.split(`\n## ${heading}\n`);
  return after.split('\n## ', 1)[0]!;
}

test('every exit code is in its table', () => {
  const rows = [...section('Exit codes').matchAll(/^\| ([\d, ]+) \| (.+) \|$/gm)];
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

test('the differences to 0.12 are those that the table of command lines knows', () => {
  const [, list = ''] = /<!-- differences -->\n([\s\S]*)<!-- \/differences -->/.exec(readme) ?? [];
  assert.deepEqual(
    list
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => line.replace(/^- /, '')),
    Object.values(differences),
  );
});
