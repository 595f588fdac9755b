/** Real paths as strings. */
import assert from 'node:assert/strict';
import { mkdirSync, promises, realpathSync, symlinkSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';
import { test } from 'node:test';
import { exactRealpath } from '../../src/image/exact-path.ts';
import { scratch } from '../support/service.ts';

test("finds a directory by Yarn's realpath, which gives strings", async (t) => {
  const directory = scratch(t);
  const { realpath } = promises;
  t.after(() => {
    promises.realpath = realpath;
    syncBuiltinESMExports();
  });
  promises.realpath = ((path: string) => realpath(path)) as typeof realpath;
  syncBuiltinESMExports();
  mkdirSync(join(directory, 'images'));
  assert.equal(await exactRealpath(`${directory}/./images`), join(realpathSync(directory), 'images'));
  const other = Buffer.concat([Buffer.from(`${directory}/`), Buffer.from([0xff])]);
  mkdirSync(other);
  symlinkSync(other, join(directory, 'link'));
  await assert.rejects(exactRealpath(join(directory, 'link')), { code: 'NAME_NOT_UTF8' });
});
