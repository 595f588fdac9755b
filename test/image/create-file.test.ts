/** The creation of a file that is recognizable as soon as it has a name. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { createMarked } from '../../src/image/create-file.ts';
import { scratch } from '../support/service.ts';

const openFiles = () => readdirSync('/proc/self/fd').length;

test('a new file has its mark before it has its name', (t) => {
  const path = join(scratch(t), 'file.partial');
  const before = openFiles();
  createMarked(path, (unnamed) => {
    assert.ok(!existsSync(path));
    writeSync(unnamed, 'mark');
  });
  assert.equal(openFiles(), before);
  const { mode, nlink } = statSync(path);
  assert.deepEqual([mode & 0o7777, nlink], [0o600, 1]);
  assert.equal(readFileSync(path, 'utf8'), 'mark');
});

test('a file of the name is kept, and nothing stays open', (t) => {
  const path = join(scratch(t), 'file.partial');
  writeFileSync(path, 'of another program');
  const before = openFiles();
  assert.throws(() => createMarked(path, () => {}), { code: 'EEXIST' });
  assert.equal(readFileSync(path, 'utf8'), 'of another program');
  assert.equal(openFiles(), before);
});

test('a file that cannot be marked is not created, and nothing stays open', (t) => {
  const directory = scratch(t);
  const before = openFiles();
  const failure = new Error('no space');
  const fail = () => {
    throw failure;
  };
  assert.throws(() => createMarked(join(directory, 'file.partial'), fail), failure);
  assert.deepEqual(readdirSync(directory), []);
  assert.equal(openFiles(), before);
});

test('a missing directory is the error of the creation', (t) => {
  const path = join(scratch(t), 'nowhere', 'file.partial');
  assert.throws(() => createMarked(path, () => {}), { code: 'ENOENT', syscall: 'open', path });
});
