/** The unit of the packages tries again only what may pass. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { exitCodes } from '../../src/cli/exit-codes.ts';

test('the unit restarts after exit code 5, and after none of the others that coldsnap chooses', () => {
  const unit = readFileSync(new URL('../../packaging/coldsnap-download@.service', import.meta.url), 'utf8');
  assert.match(unit, /^Restart=on-failure$/m);
  const prevented = /^RestartPreventExitStatus=(.+)$/m.exec(unit)?.[1]?.split(' ').map(Number);
  const chosen = exitCodes
    .map(({ exitCode }) => exitCode)
    .filter((code) => code > 0 && code < 128 && code !== 5);
  assert.deepEqual(prevented, chosen);
});
