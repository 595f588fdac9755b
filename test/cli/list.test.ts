import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ListOptions, SnapshotInfo } from '../../src/transfer/options.ts';
import { makeWorld, withoutHooks } from './support.ts';

function snapshot(given: Partial<SnapshotInfo> = {}): SnapshotInfo {
  return {
    snapshotId: 'snap-1',
    status: 'completed',
    volumeSizeGiB: 8,
    encrypted: false,
    startTime: new Date(Date.now() - 3 * 86_400_000 - 5000),
    description: 'disk.img',
    tags: {},
    ...given,
  };
}

test('list prints ID, age, size, state and name in columns, the ID first', async () => {
  const named = snapshot({
    snapshotId: 'snap-22',
    status: 'pending',
    volumeSizeGiB: 1024,
    startTime: new Date(Date.now() - 61_000),
    tags: { Name: 'web' },
  });
  const world = makeWorld({ listSnapshots: async () => [snapshot(), named] });
  assert.equal(await world.run('list'), 0, world.stderr.text);
  assert.deepEqual(world.stdout.lines, [
    'snap-1   3 d    8 GiB     completed  disk.img',
    'snap-22  1 min  1024 GiB  pending    web',
  ]);
  assert.equal(world.stderr.text, '2 snapshots\n');
});

test('list prints nothing on stdout if there are no snapshots', async () => {
  const world = makeWorld();
  assert.equal(await world.run('list'), 0);
  assert.equal(world.stdout.text, '');
  assert.equal(world.stderr.text, '0 snapshots\n');
});

test('list --json prints one document with the tags', async () => {
  const listed = snapshot({ tags: { Name: 'web' } });
  const world = makeWorld({ listSnapshots: async () => [listed] });
  assert.equal(await world.run('list --json'), 0);
  assert.deepEqual(JSON.parse(world.stdout.text), {
    snapshots: [{ ...listed, startTime: listed.startTime.toISOString() }],
  });
  assert.deepEqual(JSON.parse(world.stderr.text), { type: 'done', operation: 'list', count: 1 });
});

test('control characters in a name do not reach the terminal', async () => {
  const world = makeWorld({
    listSnapshots: async () => [snapshot({ tags: { Name: 'a\u001b[2J\n\u009bb' } })],
  });
  await world.run('list');
  assert.match(world.stdout.text, / {2}a\?\[2J\?\?b\n$/);
});

for (const [line, expected] of [
  ['list', {}],
  ['list --tag Name', { tags: [{ key: 'Name' }] }],
  [
    'list --tag Name=web* --tag Key=team,Value=a=b --region r',
    {
      tags: [
        { key: 'Name', value: 'web*' },
        { key: 'team', value: 'a=b' },
      ],
      region: 'r',
    },
  ],
] as const) {
  test(`${line} passes its options to the library`, async () => {
    const calls: ListOptions[] = [];
    const world = makeWorld({
      listSnapshots: async (options) => {
        calls.push(options ?? {});
        return [];
      },
    });
    assert.equal(await world.run(line), 0, world.stderr.text);
    assert.deepEqual(calls.map(withoutHooks), [expected]);
  });
}

test('list --tag without a key is a usage error', async () => {
  const world = makeWorld();
  assert.equal(await world.run('list --tag =web'), 2);
  assert.match(world.stderr.text, /--tag: a tag needs a key/);
});
