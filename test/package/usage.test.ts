/** The arguments of the scripts. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { project } from '../support/built.ts';

const scripts = [
  'packaging/build',
  'packaging/build-deb',
  'packaging/build-rpm',
  'packaging/stage',
  'scripts/bench/startup-of-deb',
  'scripts/build-prebuilds',
  'scripts/demo',
  'scripts/interop',
  'scripts/interop-identity',
  'scripts/interop-moto',
  'scripts/package-npm',
  'scripts/release',
  'scripts/test-deploy',
  'scripts/test-npm-package',
  'scripts/test-on-node',
  'test/package/container',
  'test/package/roots',
];

for (const script of scripts) {
  test(`${script} takes no option that it does not know for a name, but says how it is used`, () => {
    const { status, stdout, stderr } = spawnSync(`${project}${script}`, ['--help'], { encoding: 'utf8' });
    assert.equal(status, 2, stderr);
    assert.equal(stdout, '');
    assert.match(stderr, new RegExp(`^usage: ${script}( .*)?\\n$`));
  });
}
