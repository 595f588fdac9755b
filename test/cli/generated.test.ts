import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
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

test('the man page shows which arguments may be repeated', () => {
  const page = manPage().replaceAll(/\\f[BIR]/g, '');
  assert.match(page, /^coldsnap download \[options\] snapshot target\.\.\.$/m);
  assert.match(page, /^coldsnap pending \[options\] \[snapshots\.\.\.\]$/m);
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
    [['d'], ['devices', 'diff', 'download']],
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
    [
      ['--region', 'eu-west-'],
      ['eu-west-1', 'eu-west-2', 'eu-west-3'],
    ],
    [['wait', '--desired-status', 'c'], ['completed']],
    // As bash splits them, and as they are when COMP_WORDBREAKS has no equals sign.
    [['upload', '--on-failure', '=', 'd'], ['delete']],
    [
      ['--progress', '='],
      ['auto', 'json', 'none', 'plain', 'tty'],
    ],
    [['upload', '--on-failure=d'], ['--on-failure=delete']],
    [['--region', '=', 'eu-west-1', 'up'], ['upload']],
    [['--region=eu-west-1', 'up'], ['upload']],
  ];
  for (const [words, expected] of cases) {
    test(words.map((word) => word || "''").join(' '), () => assert.deepEqual(complete(...words), expected));
  }
});

describe('a completion script looks up', () => {
  const home = join(temporary, 'home');
  const bin = join(temporary, 'fake');
  const called = join(temporary, 'called');
  mkdirSync(join(home, '.aws'), { recursive: true });
  mkdirSync(bin);
  writeFileSync(
    join(home, '.aws/config'),
    '[default]\nregion = us-east-1\n[profile  work ]\n[profile "my own"]\n[profile no profile]\n# [profile none]\n[sso-session corp]\n[services local]\n',
  );
  writeFileSync(join(home, '.aws/credentials'), '[ci]\naws_access_key_id = x\n');
  // Prints two snapshots, complaints, and its arguments into a file.
  writeFileSync(
    join(bin, 'coldsnap'),
    `#!/bin/sh
echo "$AWS_EC2_METADATA_DISABLED $*" >>${called}
echo complaint >&2
case $* in *endless*) exec sleep 100 ;; esac
printf 'snap-1  3 d  8 GiB\\nsnap-2  1 h  1 GiB\\n'
`,
    { mode: 0o755 },
  );

  interface Found {
    readonly suggestions: string[];
    readonly calls: string;
  }

  /** Runs a shell with the script; each line of its output is a suggestion, and it may print no error. */
  function lookUp(
    shell: 'bash' | 'zsh' | 'fish',
    program: string,
    variables: Record<string, string> = {},
  ): Found {
    rmSync(called, { force: true });
    const file = join(temporary, `script.${shell}`);
    writeFileSync(
      file,
      completionScript(
        buildProgram(async () => {}),
        shell,
      ),
    );
    const { stdout, stderr } = spawnSync(
      shell,
      ['-c', program, ...(shell === 'fish' ? [file] : [shell, file])],
      {
        encoding: 'utf8',
        env: { PATH: `${bin}:${process.env.PATH}`, HOME: home, ...variables },
      },
    );
    assert.equal(stderr, '');
    const calls = existsSync(called) ? readFileSync(called, 'utf8') : '';
    return { suggestions: stdout.split('\n').filter(Boolean), calls };
  }

  const inBash = (...words: string[]) =>
    `source "$1"; compopt() { :; }; COMP_WORDS=(coldsnap ${words.join(' ')}) COMP_CWORD=${words.length}; _coldsnap; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const inFish = (line: string) =>
    `source $argv[1]; complete -C 'coldsnap ${line}' | string replace -r '\\t.*' ''`;
  const keys = { AWS_ACCESS_KEY_ID: 'AKID' };
  const profiles = ['ci', 'default', 'my own', 'work'];

  test('profiles, in bash', () => {
    const quoted = profiles.map((name) => name.replace(' ', '\\ '));
    assert.deepEqual(lookUp('bash', inBash('--profile', "''")).suggestions.sort(), quoted);
    assert.deepEqual(lookUp('bash', inBash('download', '--profile=w')).suggestions, ['--profile=work']);
    const elsewhere = { AWS_CONFIG_FILE: '/nowhere', AWS_SHARED_CREDENTIALS_FILE: '/nowhere' };
    assert.deepEqual(lookUp('bash', inBash('--profile', "''"), elsewhere).suggestions, []);
  });

  test('snapshots, in bash, with the options for the service', () => {
    const { suggestions, calls } = lookUp(
      'bash',
      inBash('--region', 'eu-west-1', 'download', '--profile=ci', "''"),
      keys,
    );
    assert.deepEqual(suggestions, ['snap-1', 'snap-2']);
    assert.equal(calls, 'true --quiet --region eu-west-1 --profile=ci list\n');
    assert.equal(lookUp('bash', inBash('pending', 'snap-2', "''"), keys).calls, 'true --quiet pending\n');
    assert.deepEqual(lookUp('bash', inBash('wait', 'snap-2'), keys).suggestions, ['snap-2']);
  });

  test('no snapshots without credentials at hand, nor for a file', () => {
    const without = { AWS_SHARED_CREDENTIALS_FILE: '/nowhere' };
    assert.deepEqual(lookUp('bash', inBash('download', "''"), without), { suggestions: [], calls: '' });
    assert.equal(lookUp('bash', inBash('download', 'snap-1', "''"), keys).calls, '');
  });

  test('snapshots for at most two seconds', () => {
    assert.deepEqual(lookUp('bash', inBash('download', '--endpoint', 'endless', "''"), keys).suggestions, []);
  });

  const has = (shell: string) =>
    spawnSync(shell, ['-c', 'true']).status === 0 ? {} : { skip: `${shell} is not installed` };

  test('profiles, states, regions and snapshots, in fish', has('fish'), () => {
    assert.deepEqual(lookUp('fish', inFish('--profile ')).suggestions.sort(), profiles);
    assert.deepEqual(lookUp('fish', inFish('--profile=w')).suggestions, ['--profile=work']);
    assert.deepEqual(lookUp('fish', inFish('--region us-east-1 --progress=none -q dow')).suggestions, [
      'download',
    ]);
    assert.deepEqual(lookUp('fish', inFish('--region download up')).suggestions, ['upload']);
    assert.deepEqual(lookUp('fish', inFish('download snap-1 upload --sample')).suggestions, []);
    assert.deepEqual(lookUp('fish', inFish('wait --desired-status c')).suggestions, ['completed']);
    assert.deepEqual(lookUp('fish', inFish('upload --region=eu-north')).suggestions, ['--region=eu-north-1']);
    const { suggestions, calls } = lookUp('fish', inFish('download --region eu-west-1 snap-'), keys);
    assert.deepEqual(suggestions.sort(), ['snap-1', 'snap-2']);
    assert.match(calls, /^true --quiet --region eu-west-1 list\n/);
  });

  test('profiles and snapshots, in zsh', has('zsh'), () => {
    const stub =
      'compadd() { while [[ $1 == -* ]]; do if [[ $1 == -a ]]; then set -- $found; break; fi; shift; done; print -l -- $@ }';
    const load = `compdef() { :; }; source $1; ${stub}`;
    assert.deepEqual(lookUp('zsh', `${load}; _coldsnap_profiles`).suggestions.sort(), profiles);
    const found = lookUp(
      'zsh',
      `${load}; typeset -A opt_args=(--region eu-west-1); _coldsnap_snapshots list`,
      keys,
    );
    assert.deepEqual(found, {
      suggestions: ['snap-1', 'snap-2'],
      calls: 'true --quiet --region eu-west-1 list\n',
    });
    const script = readFileSync(join(temporary, 'script.zsh'), 'utf8');
    assert.match(script, /'\*--profile=\[[^\]]+\]:value:_coldsnap_profiles'/);
    assert.match(script, /'1:snapshot:\{_coldsnap_snapshots list\}'/);
  });
});
