import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { describeErrno, errnoHint, errnoName } from '../../src/errno.ts';
import { root } from './support.ts';

test('an errno has its name and description, also where libuv has none', () => {
  assert.deepEqual([5, 28, 95, 117, 122, 123].map(errnoName), [
    'EIO',
    'ENOSPC',
    'ENOTSUP',
    'EUCLEAN',
    'EDQUOT',
    'ENOMEDIUM',
  ]);
  assert.equal(errnoName(4000), undefined);
  assert.equal(describeErrno('ENOSPC'), 'no space left on device');
  assert.equal(describeErrno('EUCLEAN'), 'the file system is damaged');
  assert.equal(describeErrno('ENOTSUP'), 'operation not supported');
  assert.equal(describeErrno('ENONESUCH'), 'ENONESUCH');
});

test('a hint says what helps against an errno, and nothing where nothing is known to help', () => {
  assert.match(errnoHint('ENOSPC') ?? '', /Free some space/);
  assert.equal(errnoHint('EINVAL'), undefined);
  assert.equal(errnoHint('constructor'), undefined);
});

test('there is one table of errnos', () => {
  const files = readdirSync(`${root}src`, { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.ts'),
  );
  const tables = files.filter((name) =>
    /getSystemErrorMap|\b(EDQUOT|EUCLEAN|ENAMETOOLONG): '/.test(readFileSync(`${root}src/${name}`, 'utf8')),
  );
  assert.deepEqual(tables, ['errno.ts']);
});
