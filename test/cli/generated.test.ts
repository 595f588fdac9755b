import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { manPage, manPagePath } from '../../scripts/generate-man.ts';
import { completionScript } from '../../src/cli/generate/completion.ts';
import { buildProgram } from '../../src/cli/program.ts';
import { makeWorld } from './support.ts';

const temporary = mkdtempSync(join(tmpdir(), 'coldsnap-generated-'));
after(() => rmSync(temporary, { recursive: true, force: true }));

test('the man page in docs/ is up to date (npm run docs)', () => {
  assert.equal(readFileSync(manPagePath, 'utf8'), manPage());
});

test('the man page has every option of every command', () => {
  const page = manPage()
    .replaceAll('\\-', '-')
    .replace(/\\f[BIR]/g, '');
  for (const command of buildProgram(async () => {}).commands) {
    assert.match(page, new RegExp(`^\\.SS ${command.name()}$`, 'm'));
    for (const option of command.options)
      assert.ok(page.includes(`.TP\n${option.flags.replace(/[<>]/g, '')}\n`), option.flags);
  }
});

test('coldsnap completion prints the script on stdout', async () => {
  for (const shell of ['bash', 'zsh', 'fish'] as const) {
    const world = makeWorld();
    assert.equal(await world.run(`completion ${shell}`), 0);
    assert.equal(
      world.stdout.text,
      completionScript(
        buildProgram(async () => {}),
        shell,
      ),
    );
  }
});

for (const shell of ['bash', 'zsh', 'fish'] as const) {
  const program = ['/bin', '/usr/bin']
    .map((directory) => join(directory, shell))
    .find((path) => existsSync(path));
  test(`the script for ${shell} is valid`, { skip: program ? false : `${shell} is not installed` }, () => {
    const file = join(temporary, `syntax.${shell}`);
    writeFileSync(
      file,
      completionScript(
        buildProgram(async () => {}),
        shell,
      ),
    );
    execFileSync(program!, ['-n', file], { stdio: 'pipe' });
  });
}

describe('bash completes', { skip: existsSync('/bin/bash') ? false : 'bash is not installed' }, () => {
  /** The suggestions for the last word. */
  function complete(...words: string[]): string[] {
    const script = `${completionScript(
      buildProgram(async () => {}),
      'bash',
    )}
      compopt() { :; }
      COMP_WORDS=(coldsnap "$@") COMP_CWORD=$#
      _coldsnap
      printf '%s\\n' "\${COMPREPLY[@]}"`;
    const cwd = join(temporary, 'here');
    mkdirSync(join(cwd, 'directory'), { recursive: true });
    writeFileSync(join(cwd, 'disk.img'), '');
    const text = execFileSync('/bin/bash', ['-c', script, 'bash', ...words], { cwd, encoding: 'utf8' });
    return text.split('\n').filter(Boolean).sort();
  }

  const cases: [string[], string[]][] = [
    [['d'], ['download']],
    [['--region', 'download', 'up'], ['upload']],
    [
      ['download', '--f'],
      ['--force', '--fresh'],
    ],
    [
      ['download', 'snap-1', 'di'],
      ['directory', 'disk.img'],
    ],
    [
      ['verify', '--s'],
      ['--sample', '--skip-unlisted'],
    ],
    [
      ['verify', 'snap-1', 'di'],
      ['directory', 'disk.img'],
    ],
    [
      ['--progress', ''],
      ['auto', 'json', 'none', 'plain', 'tty'],
    ],
    [['download', '--workers', ''], []],
    [['emulator', '--data', ''], ['directory']],
    [['upload', '--on-failure', 'd'], ['delete']],
    [['help', 'ex'], ['exit-codes']],
    [
      ['completion', ''],
      ['bash', 'fish', 'zsh'],
    ],
    [['wait', '--tim'], ['--timeout']],
  ];
  for (const [words, expected] of cases) {
    test(words.map((word) => word || "''").join(' '), () => assert.deepEqual(complete(...words), expected));
  }
});
