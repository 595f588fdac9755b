import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { exitCodes } from '../../src/cli/exit-codes.ts';
import { buildProgram } from '../../src/cli/program.ts';
import { makeWorld } from './support.ts';

const commands = [
  'download',
  'upload',
  'verify',
  'wait',
  'list',
  'emulator',
  'completion',
  'version',
  'help',
];

describe('help', () => {
  test('is printed on stdout with exit code 0 and lists every command', async () => {
    for (const line of ['--help', '-h', 'help']) {
      const world = makeWorld();
      assert.equal(await world.run(line), 0);
      for (const command of commands) assert.match(world.stdout.text, new RegExp(`^  ${command}\\b`, 'm'));
      assert.equal(world.stderr.text, '');
    }
  });

  test('fits the terminal', async () => {
    for (const line of ['--help', ...commands.map((command) => `${command} --help`)]) {
      const world = makeWorld();
      world.stdout.columns = 80;
      await world.run(line);
      assert.deepEqual(
        // Examples are commands to copy.
        world.stdout.lines.filter((text) => text.length > 80 && !text.startsWith('    ')),
        [],
        line,
      );
    }
  });

  test('is printed on stderr with exit code 2 without a command', async () => {
    for (const line of ['', '--verbose']) {
      const world = makeWorld();
      assert.equal(await world.run(line), 2);
      assert.match(world.stderr.text, /^Usage: coldsnap /);
      assert.equal(world.stdout.text, '');
    }
  });

  for (const topic of ['global', 'environment', 'json', 'resume', 'permissions', 'devices', 'exit-codes']) {
    test(`for the topic ${topic} fits the terminal`, async () => {
      for (const columns of [40, 80, 200]) {
        const world = makeWorld();
        world.stdout.columns = columns;
        assert.equal(await world.run(`help ${topic}`), 0);
        assert.ok(world.stdout.lines.length >= 4, topic);
        const wide = world.stdout.lines.filter(
          (line) => line.length > columns && line.includes('  '.repeat(3)),
        );
        assert.deepEqual(wide, []);
      }
    });
  }

  test('for the topic global has every global option', async () => {
    const world = makeWorld();
    await world.run('help global');
    for (const option of [
      '--region <region>',
      '-q, --quiet',
      '--read-timeout <time>',
      '-V, --version',
      '--json',
    ])
      assert.ok(world.stdout.text.includes(option), option);
  });

  test('for a command has its options, a reference to the global options, and examples', async () => {
    for (const command of ['download', 'upload', 'verify', 'wait', 'emulator', 'completion']) {
      const asOption = makeWorld();
      assert.equal(await asOption.run(`${command} --help`), 0);
      assert.match(asOption.stdout.text, new RegExp(`^Usage: coldsnap ${command} `));
      assert.match(asOption.stdout.text, /^Global options: coldsnap help global$/m);
      assert.doesNotMatch(asOption.stdout.text, /--region </);
      assert.match(asOption.stdout.text, /^Examples:$/m);
      const asTopic = makeWorld();
      assert.equal(await asTopic.run(`help ${command}`), 0);
      assert.equal(asTopic.stdout.text, asOption.stdout.text);
    }
  });

  test('for help itself has its topics', async () => {
    const world = makeWorld();
    assert.equal(await world.run('help help'), 0);
    assert.match(world.stdout.text, /^Usage: coldsnap help /);
  });

  test('is printed for the argument help, as in coldsnap 0.12', async () => {
    for (const line of [
      'download help',
      'download snap-1 help',
      'upload help',
      'wait --max-attempts 3 help',
      '--region r wait help',
    ]) {
      const world = makeWorld();
      assert.equal(await world.run(line), 0, line);
      assert.match(world.stdout.text, /^Usage: coldsnap (download|upload|wait) /);
      assert.equal(world.downloads.length + world.uploads.length + world.waits.length, 0);
    }
  });

  test('is not printed for an option with the value help, nor for help after --', async () => {
    const world = makeWorld();
    await world.run('upload --description help disk.img');
    assert.equal(world.uploads[0]?.description, 'help');
    await world.run('download snap-1 -- help');
    assert.equal(world.downloads[0]?.target, 'help');
  });

  test('fits a narrow terminal', async () => {
    const world = makeWorld();
    world.stdout.columns = 60;
    await world.run('download --help');
    const tooLong = world.stdout.lines.filter((line) => line.length > 60 && !line.startsWith('    '));
    assert.deepEqual(tooLong, []);
  });

  test('for exit-codes lists every exit code', async () => {
    const world = makeWorld();
    assert.equal(await world.run('help exit-codes'), 0);
    for (const { exitCode } of exitCodes)
      assert.match(world.stdout.text, new RegExp(`^ *${exitCode}  `, 'm'));
  });

  test('every option of every command has a description', () => {
    for (const command of buildProgram(async () => {}).commands) {
      assert.notEqual(command.description(), '');
      for (const option of command.options)
        assert.notEqual(option.description, '', `${command.name()} ${option.flags}`);
    }
  });
});

test('--version prints the version in package.json, before or after the command', async () => {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
  for (const line of ['--version', 'download --version']) {
    const world = makeWorld();
    assert.equal(await world.run(line), 0);
    assert.equal(world.stdout.text, `${version}\n`);
  }
});

test('parsing and help load neither the SDK nor the library nor listr2', async () => {
  const entry = fileURLToPath(new URL('../../src/cli/run.ts', import.meta.url));
  const { metafile } = await build({
    entryPoints: [entry],
    bundle: true,
    write: false,
    metafile: true,
    format: 'esm',
    platform: 'node',
    packages: 'external',
    outdir: 'unused',
    logLevel: 'silent',
  });
  const loaded = new Set<string>();
  const visit = (path: string) => {
    if (loaded.has(path)) return;
    loaded.add(path);
    for (const { path: next, kind } of metafile.inputs[path]?.imports ?? []) {
      if (kind === 'import-statement') visit(next);
    }
  };
  visit(Object.keys(metafile.inputs).find((path) => path.endsWith('src/cli/run.ts'))!);
  const packages = [...loaded].filter((path) => !path.startsWith('src/') && !path.startsWith('node:'));
  assert.deepEqual(packages, ['commander']);
  const folders = [...loaded].flatMap((path) => /^src\/(\w+)\//.exec(path)?.[1] ?? []);
  assert.deepEqual([...new Set(folders)], ['cli']);
});
