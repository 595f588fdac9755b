import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { AddonLoadError, loadAddon } from '../../src/native/load.ts';
import { packageRoot } from '../../src/package-root.ts';
import { bundle, copyAddon, root, runScript, withDirectory } from './support.ts';

const target = `${process.platform}-${process.arch}`;

/** A package folder with what `fill` puts there; the error that loading from its dist folder throws. */
async function failureIn(fill: (directory: string) => void): Promise<AddonLoadError> {
  return withDirectory((directory) => {
    writeFileSync(join(directory, 'package.json'), '{"name": "coldsnap"}');
    mkdirSync(join(directory, 'dist', 'native'), { recursive: true });
    fill(directory);
    try {
      loadAddon(join(directory, 'dist', 'native'));
    } catch (error) {
      assert.ok(error instanceof AddonLoadError);
      // Paths differ from run to run; all else is to be asserted on.
      error.message = error.message.replaceAll(directory, '<root>');
      return error;
    }
    throw new assert.AssertionError({ message: 'the addon loaded' });
  });
}

function putBinary(directory: string, content: Uint8Array | string, folder = 'build/Release'): string {
  const path = join(directory, folder, 'coldsnap.node');
  mkdirSync(join(directory, folder), { recursive: true });
  writeFileSync(path, content);
  return path;
}

test('the package is found from sources, from compiled files and from a bundle, past other package.json files', async () => {
  assert.equal(packageRoot(join(root, 'src', 'native')), root.replace(/\/$/, ''));
  await withDirectory((directory) => {
    writeFileSync(join(directory, 'package.json'), '{"name": "coldsnap"}');
    mkdirSync(join(directory, 'dist', 'native'), { recursive: true });
    writeFileSync(join(directory, 'dist', 'package.json'), '{"type": "module"}');
    writeFileSync(join(directory, 'dist', 'native', 'package.json'), 'not JSON');
    assert.equal(packageRoot(join(directory, 'dist', 'native')), directory);
    assert.equal(packageRoot(join(directory, 'dist')), directory);
    assert.equal(packageRoot(join(directory, '..')), undefined);
    assert.throws(() => loadAddon(join(directory, '..')), /no package\.json of coldsnap in .* or above/);
  });
});

test('a bundle of one file loads the addon of its package', async () => {
  await withDirectory((directory) => {
    const file = bundle(directory);
    const { stdout, stderr } = runScript(file, 'console.log(native.isZero(new Uint8Array(9)))');
    assert.equal(stdout, 'true\n', stderr);
  });
});

test('a prebuilt binary comes first; one that does not load gives way to the compiled one', async () => {
  await withDirectory((directory) => {
    writeFileSync(join(directory, 'package.json'), '{"name": "coldsnap"}');
    const folder = join(directory, 'prebuilds', target);
    mkdirSync(folder, { recursive: true });
    copyAddon(join(folder, 'coldsnap.node'));
    assert.ok('writeBlocks' in (loadAddon(directory) as object));
    rmSync(folder, { recursive: true });
    putBinary(directory, 'not a library', `prebuilds/${target}`);
    mkdirSync(join(directory, 'build'));
    symlinkSync(join(root, 'build', 'Release'), join(directory, 'build', 'Release'));
    assert.ok('writeBlocks' in (loadAddon(directory) as object));
  });
});

test('importing the boundary does not load the addon; the first call does, and says what is missing', async () => {
  await withDirectory((directory) => {
    const file = bundle(directory, { withAddon: false });
    assert.equal(runScript(file, 'console.log(typeof native.isZero)').stdout, 'function\n');
    const { stdout } = runScript(
      file,
      `try { native.isZero(new Uint8Array(1)) } catch (error) { console.log(error.code, error.class) }
       await native.syncData(1).catch((error) => console.log(error.name));`,
    );
    assert.equal(stdout, 'ADDON_NOT_LOADED config\nColdsnapError\n');
  });
});

test('a missing binary: every path tried, this process, and how to get one', async () => {
  const error = await failureIn(() => {});
  assert.equal(error.code, 'ADDON_NOT_LOADED');
  assert.deepEqual(
    error.tried.map(({ reason }) => reason),
    ['no such file', 'no such file'],
  );
  const lines = error.message.split('\n');
  assert.equal(lines[0], "coldsnap's native addon did not load.");
  assert.equal(lines[1], `  <root>/prebuilds/${target}/coldsnap.node: no such file`);
  assert.equal(lines[2], '  <root>/build/Release/coldsnap.node: no such file');
  assert.match(
    lines[3]!,
    new RegExp(`^ {2}this process: Node v\\d.*, ${target}, .*, module ABI \\d+, Node-API \\d+$`),
  );
  assert.equal(lines[4], 'Possible solutions:');
  assert.match(error.message, /npm rebuild coldsnap/);
  assert.match(error.message, /ignore-scripts/);
  assert.match(error.message, /g\+\+ make python3/);
});

test('a binary for another machine, or no binary at all: rebuild it here', async () => {
  // An ELF header of a 64-bit little-endian shared object for another machine.
  const other = process.arch === 'arm64' ? [62, 'x64'] : [183, 'arm64'];
  const elf = new Uint8Array(4096);
  elf.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, other[0] as number, 0, 1]);
  for (const [content, seen] of [
    [elf, `a library for ${other[1]}`],
    ['', 'no library'],
    ['404: not found\n', 'no library'],
  ] as const) {
    const error = await failureIn((directory) => putBinary(directory, content));
    assert.match(error.message, new RegExp(`build/Release/coldsnap\\.node: .* \\[${seen}\\]`));
    assert.match(error.message, /not a library for this machine \(.*\); .* Run `npm rebuild coldsnap`/);
    assert.doesNotMatch(error.message, /ignore-scripts/);
    assert.ok(error.cause instanceof Error);
  }
});

test('a library that is no addon, or wants what this process does not have', {
  skip: noCompiler(),
}, async () => {
  for (const [source, expected] of [
    ['int nothing;', /did not self-register|rebuild it/],
    [
      'extern int not_there(void); int (*call)(void) = not_there;',
      /undefined symbol.*\n[\s\S]*does not fit this Node/,
    ],
  ] as const) {
    const error = await failureIn((directory) => {
      const path = putBinary(directory, '');
      const text = join(directory, 'a.c');
      writeFileSync(text, source);
      assert.equal(spawnSync('cc', ['-shared', '-fPIC', '-o', path, text]).status, 0);
    });
    assert.match(error.message, expected);
  }
});

test('a binary that may not be read', {
  skip: process.getuid?.() === 0 && 'root may read everything',
}, async () => {
  const error = await failureIn((directory) => chmodSync(putBinary(directory, ''), 0));
  assert.match(error.message, /check its permissions/);
});

test('a file system without execution says noexec', {
  skip: process.getuid?.() !== 0 && 'mounting needs root',
}, async () => {
  await withDirectory(async (mount) => {
    assert.equal(spawnSync('mount', ['-t', 'tmpfs', '-o', 'noexec,size=64m', 'tmpfs', mount]).status, 0);
    try {
      writeFileSync(join(mount, 'package.json'), '{"name": "coldsnap"}');
      mkdirSync(join(mount, 'build', 'Release'), { recursive: true });
      copyAddon(join(mount, 'build', 'Release', 'coldsnap.node'));
      assert.throws(() => loadAddon(mount), /failed to map segment[\s\S]*not mounted noexec/);
    } finally {
      spawnSync('umount', ['-l', mount]); // lazily: a refused library may keep it busy until the process ends
    }
  });
});

function noCompiler(): string | false {
  return spawnSync('cc', ['--version']).status === 0 ? false : 'there is no C compiler';
}
