import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { release } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { needsBuild, project } from '../support/built.ts';
import { makeWorld } from './support.ts';

test('version prints coldsnap, Node, OpenSSL, the kernel and the hash kernel', async () => {
  const world = makeWorld();
  assert.equal(await world.run('version'), 0);
  const names = world.stdout.lines.map((line) => line.split(/\s+/)[0]);
  assert.deepEqual(names, ['coldsnap', 'node', 'openssl', 'kernel', 'sha256']);
  assert.match(world.stdout.text, new RegExp(`^node +${process.versions.node}$`, 'm'));
  assert.match(world.stdout.text, /^sha256 +sha-ni$/m);
  assert.equal(world.stderr.text, '');
});

test('version --json prints one document', async () => {
  const world = makeWorld();
  assert.equal(await world.run('version --json'), 0);
  const { openssl, kernel, sha256 } = JSON.parse(world.stdout.text);
  assert.equal(openssl, process.versions.openssl);
  assert.ok(kernel.includes(release()));
  assert.equal(sha256, 'sha-ni');
});

test('version names the kernel that the addon uses', needsBuild, () => {
  const { status, stdout } = spawnSync(process.execPath, [join(project, 'bin/coldsnap.js'), 'version'], {
    encoding: 'utf8',
  });
  assert.equal(status, 0);
  assert.match(stdout, /^sha256 +(?!none)\S+$/m);
});

test('-V is --version', async () => {
  const short = makeWorld();
  const long = makeWorld();
  assert.deepEqual([await short.run('-V'), await long.run('--version')], [0, 0]);
  assert.equal(short.stdout.text, long.stdout.text);
});
