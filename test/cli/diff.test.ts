import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DiffOptions } from '../../src/transfer/reports.ts';
import { diffResult, makeWorld, withoutHooks } from './support.ts';

test('diff prints a report and a map', async () => {
  const calls: DiffOptions[] = [];
  const world = makeWorld({
    diffSnapshots: async (options) => {
      calls.push(options);
      return { ...diffResult, map: [1, 0.2, 0] };
    },
  });
  assert.equal(await world.run('diff snap-1 snap-2'), 0, world.stderr.text);
  assert.deepEqual(calls.map(withoutHooks), [{ first: 'snap-1', second: 'snap-2', mapCells: 78 }]);
  assert.deepEqual(world.stdout.lines, [
    'snapshots  snap-1 and snap-2',
    'volume     1.0 GiB (1073741824 bytes) in blocks of 512.0 KiB',
    'changed    2.0 MiB (2097152 bytes) in 4 blocks',
    'added      1.0 MiB (1048576 bytes) in 2 blocks',
    'gone       512.0 KiB (524288 bytes) in 1 block',
    'download   7 requests, less than $0.0001, at least 0.0 s, and at most 129 blocks to check the target',
    '|#. |',
  ]);
  assert.equal(world.stderr.text, '7 blocks differ between snap-1 and snap-2\n');
});

test('diff --json prints one document', async () => {
  const calls: DiffOptions[] = [];
  const world = makeWorld({
    diffSnapshots: async (options) => {
      calls.push(options);
      return diffResult;
    },
  });
  assert.equal(await world.run('diff --json snap-1 snap-2'), 0, world.stderr.text);
  assert.deepEqual(calls.map(withoutHooks), [{ first: 'snap-1', second: 'snap-2' }]);
  assert.deepEqual(JSON.parse(world.stdout.text), diffResult);
});

test('diff --ranges prints a line for each range, and with --json a list of them', async () => {
  const world = makeWorld({
    diffSnapshots: async ({ onRange }) => {
      await onRange?.('changed', { start: 0, end: 524_288 });
      await onRange?.('gone', { start: 1_048_576, end: 2_097_152 });
      return diffResult;
    },
  });
  assert.equal(await world.run('diff --ranges snap-1 snap-2'), 0, world.stderr.text);
  assert.equal(world.stdout.text, 'changed 0-524288\ngone 1048576-2097152\n');
  world.stdout.text = '';
  assert.equal(await world.run('diff --ranges --json snap-1 snap-2'), 0, world.stderr.text);
  assert.deepEqual(JSON.parse(world.stdout.text), {
    ...diffResult,
    ranges: [
      { kind: 'changed', start: 0, end: 524_288 },
      { kind: 'gone', start: 1_048_576, end: 2_097_152 },
    ],
  });
});
