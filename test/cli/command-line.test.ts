import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { runAgainLine, shellQuote } from '../../src/cli/command-line.ts';

/** The words as the shell parses them. */
function wordsInShell(shell: string, quoted: string): string[] {
  // fish's printf supports \000 in a format, but not \0.
  const script = `printf '%s\\000' ${quoted}`;
  return execFileSync(shell, ['-c', script], { encoding: 'utf8' }).split('\0').slice(0, -1);
}

const awkward = [
  '',
  'plain',
  'with blank',
  "it's",
  "''",
  'back\\slash',
  "\\'",
  'tab\tand\nnewline',
  'a\u001b[31m\r\n\nb\u009b2J\u007f',
  '\n\n',
  '\u0001ü\n',
  '$HOME `id` $(id)',
  '"double"',
  '~root',
  '=ls',
  '*?[a]{b,c}',
  '!history',
  '#comment',
  'a;b|c&d<e>f',
  'ümläut €',
  '-n',
  'Key=a,Value=b',
];

describe('shells parse a quoted word as the word', () => {
  for (const shell of ['/bin/sh', '/bin/bash', '/usr/bin/zsh', '/usr/bin/fish']) {
    test(`in ${shell}`, { skip: existsSync(shell) ? false : 'not installed' }, () => {
      assert.deepEqual(wordsInShell(shell, awkward.map(shellQuote).join(' ')), awkward);
    });
  }

  test('for random words', () => {
    const word = fc.string({ unit: fc.constantFrom(...'ab \'"\\$`!*?[]{}()<>|&;#~=%^,-\n\t') });
    fc.assert(
      fc.property(fc.array(word, { minLength: 30, maxLength: 60 }), (words) => {
        assert.deepEqual(wordsInShell('/bin/sh', words.map(shellQuote).join(' ')), words);
      }),
      { numRuns: 20 },
    );
  });
});

test('the command line to run again is the same', () => {
  const argv = ['--endpoint', 'http://127.0.0.1:1', 'download', 'snap-1', 'my disk.img'];
  assert.equal(runAgainLine(argv), "coldsnap --endpoint http://127.0.0.1:1 download snap-1 'my disk.img'");
});

test('the command line to run again does not start over', () => {
  assert.equal(runAgainLine(['download', '--fresh', 'snap-1', 'f']), 'coldsnap download snap-1 f');
  assert.equal(runAgainLine(['download', '--', 'snap-1', '--fresh']), 'coldsnap download -- snap-1 --fresh');
});
