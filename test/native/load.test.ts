import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { test } from 'node:test';
import { ColdsnapError } from '../../src/errors.ts';
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
      return Object.assign(error, { hint: error.hint?.replaceAll(directory, '<root>') });
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

/** The folders below a directory that this process has addons from. */
function loadedFrom(directory: string): string[] {
  const maps = readFileSync('/proc/self/maps', 'utf8').split('\n');
  const paths = maps.filter((line) => line.includes(directory)).map((line) => line.slice(line.indexOf('/')));
  return [...new Set(paths.map((path) => relative(directory, dirname(path))))].sort();
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

test('the build of a clone comes first, then the prebuilt addon for glibc, then the one for musl', async () => {
  await withDirectory((directory) => {
    writeFileSync(join(directory, 'package.json'), '{"name": "coldsnap"}');
    const order = ['build/Release', `prebuilds/${target}`, `prebuilds/${target}-musl`];
    for (const folder of order) putBinary(directory, 'not a library', folder);
    // From the last to the first, so that each must be preferred to those that load already.
    for (const [i, folder] of [...order.entries()].reverse()) {
      const path = join(directory, folder, 'coldsnap.node');
      copyAddon(path);
      assert.ok('writeBlocks' in (loadAddon(directory) as object));
      assert.deepEqual(loadedFrom(directory), order.slice(i).sort());
    }
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

test('a missing addon: the error lists every path tried and this process', async () => {
  const error = await failureIn(() => {});
  assert.ok(error instanceof ColdsnapError);
  assert.deepEqual([error.class, error.code], ['config', 'ADDON_NOT_LOADED']);
  const lines = error.message.split('\n');
  assert.deepEqual(lines.slice(0, 4), [
    'the native addon did not load',
    '  <root>/build/Release/coldsnap.node: no such file',
    `  <root>/prebuilds/${target}/coldsnap.node: no such file`,
    `  <root>/prebuilds/${target}-musl/coldsnap.node: no such file`,
  ]);
  assert.match(
    lines[4]!,
    new RegExp(`^ {2}this process: Node v\\d\\S+, ${target}, (glibc [\\d.]+|not glibc.*)$`),
  );
  assert.equal(lines.length, 5);
});

test('the hint is the one command that puts an addon in place: in a clone, a project, globally, in a system package', async () => {
  await withDirectory((directory) => {
    const hintIn = (root: string) => {
      mkdirSync(join(directory, root), { recursive: true });
      writeFileSync(join(directory, root, 'package.json'), '{"name": "coldsnap"}');
      if (root === 'clone') writeFileSync(join(directory, root, 'binding.gyp'), '');
      try {
        loadAddon(join(directory, root));
      } catch (error) {
        return (error as AddonLoadError).hint;
      }
      throw new assert.AssertionError({ message: 'the addon loaded' });
    };
    assert.equal(hintIn('clone'), `Run: cd ${directory}/clone && npm ci`);
    assert.equal(hintIn('project/node_modules/coldsnap'), 'Run: npm install --force coldsnap');
    assert.equal(hintIn('lib/node_modules/coldsnap'), 'Run: npm install --global --force coldsnap');
    assert.equal(hintIn('usr/lib/coldsnap'), 'Reinstall the coldsnap package.');
  });
});

test('a binary for another machine, or no binary at all, is named as such', async () => {
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
    assert.equal(error.hint, 'Reinstall the coldsnap package.');
    assert.ok(error.cause instanceof Error);
  }
});

test('a library that is no addon, or wants what this process does not have', {
  skip: noCompiler(),
}, async () => {
  for (const [source, expected] of [
    ['int nothing;', /did not self-register/],
    ['extern int not_there(void); int (*call)(void) = not_there;', /undefined symbol: not_there/],
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
  assert.equal(
    error.hint,
    'Make <root>/build/Release/coldsnap.node readable, and mount its file system without noexec.',
  );
});

test('where Node.js loads no addons, the hint is how to allow them', async () => {
  await withDirectory(async (directory) => {
    const script = 'try { native.isZero(new Uint8Array(1)); } catch ({ hint }) { console.log(hint); }';
    const { stdout, stderr } = runScript(bundle(directory), script, { args: ['--no-addons'] });
    const hint = 'Allow Node.js to load it: drop --no-addons, or add --allow-addons to --permission.';
    assert.deepEqual([stdout, stderr], [`${hint}\n`, '']);
  });
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
      assert.throws(() => loadAddon(mount), {
        message: /failed to map segment/,
        hint: `Make ${mount}/build/Release/coldsnap.node readable, and mount its file system without noexec.`,
      });
    } finally {
      spawnSync('umount', ['-l', mount]); // lazily: a refused library may keep it busy until the process ends
    }
  });
});

function noCompiler(): string | false {
  return spawnSync('cc', ['--version']).status === 0 ? false : 'there is no C compiler';
}
