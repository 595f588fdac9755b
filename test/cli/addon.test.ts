import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { needsBuild, project } from '../support/built.ts';

test('without the addon a command ends with 4, says how to get it and changes nothing', needsBuild, (t) => {
  const home = mkdtempSync(join(tmpdir(), 'coldsnap-'));
  t.after(() => rmSync(home, { recursive: true, force: true }));
  for (const name of ['bin', 'dist', 'package.json']) {
    cpSync(join(project, name), join(home, name), { recursive: true });
  }
  symlinkSync(join(project, 'node_modules'), join(home, 'node_modules'));
  writeFileSync(join(home, 'disk.img'), 'an image');
  const before = readdirSync(home);
  const credentials = { AWS_ACCESS_KEY_ID: 'a', AWS_SECRET_ACCESS_KEY: 'b', AWS_REGION: 'us-east-1' };
  const run = (...words: string[]) =>
    spawnSync(process.execPath, ['bin/coldsnap.js', '--endpoint', 'http://127.0.0.1:9', ...words], {
      cwd: home,
      env: { PATH: process.env.PATH, ...credentials },
      encoding: 'utf8',
    });
  const { status, stdout, stderr } = run('upload', 'disk.img');
  assert.equal(status, 4);
  assert.equal(stdout, '');
  assert.match(stderr, /^coldsnap: the native addon did not load\n/);
  assert.match(stderr, /npm rebuild coldsnap/);
  assert.doesNotMatch(stderr, /internal error|a bug|warning/);
  const json = run('upload', '--json', 'disk.img').stderr.trim().split('\n').at(-1)!;
  const { code, class: errorClass, exitCode } = JSON.parse(json);
  assert.deepEqual([code, errorClass, exitCode], ['ADDON_NOT_LOADED', 'config', 4]);
  assert.deepEqual(readdirSync(home), before);
});
