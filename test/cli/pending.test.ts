import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Library } from '../../src/cli/io.ts';
import { ColdsnapError } from '../../src/errors.ts';
import type { DeletePendingOptions, PendingSnapshot } from '../../src/transfer/options.ts';
import { makeWorld, withoutHooks } from './support.ts';

function pending(given: Partial<PendingSnapshot> = {}): PendingSnapshot {
  return {
    snapshotId: 'snap-1',
    status: 'pending',
    volumeSizeGiB: 8,
    description: 'disk.img',
    startTime: new Date('2026-01-02T03:04:05.678Z'),
    abandoned: false,
    ...given,
  };
}

const failed = pending({ snapshotId: 'snap-2', status: 'error', abandoned: true });

test('pending prints one line per snapshot on stdout, the ID first', async () => {
  const world = makeWorld({ listPendingSnapshots: async () => [pending(), failed] });
  assert.equal(await world.run('pending'), 0);
  assert.deepEqual(world.stdout.lines, [
    'snap-1  pending  2026-01-02T03:04:05Z  8 GiB  disk.img',
    'snap-2  error    2026-01-02T03:04:05Z  8 GiB  disk.img',
  ]);
});

test('pending prints nothing on stdout if there are no snapshots', async () => {
  const world = makeWorld({ listPendingSnapshots: async () => [] });
  assert.equal(await world.run('pending'), 0);
  assert.equal(world.stdout.text, '');
  assert.match(world.stderr.text, /found: 0/);
});

test('pending lists only the named snapshots', async () => {
  const calls: unknown[] = [];
  const listPendingSnapshots: Library['listPendingSnapshots'] = async (options) => {
    calls.push(options?.snapshotIds);
    return [failed];
  };
  const world = makeWorld({ listPendingSnapshots });
  assert.equal(await world.run('pending snap-2'), 0);
  assert.deepEqual(calls, [['snap-2']]);
  assert.match(world.stdout.text, /^snap-2 .*\n$/);
});

test('pending names the snapshots that it does not find, and exits with 1', async () => {
  const world = makeWorld({ listPendingSnapshots: async () => [failed] });
  assert.equal(await world.run('pending snap-2 snap-unknown snap-other'), 1);
  assert.match(world.stdout.text, /^snap-2 .*\n$/);
  assert.match(
    world.stderr.text,
    /coldsnap: not an incomplete upload of coldsnap: snap-unknown, snap-other\n {2}Check the ID/,
  );
});

test('pending --json prints one document', async () => {
  const world = makeWorld({ listPendingSnapshots: async () => [failed] });
  assert.equal(await world.run('pending --json'), 0);
  const { startTime, ...rest } = failed;
  assert.deepEqual(JSON.parse(world.stdout.text), {
    pending: [{ ...rest, startTime: startTime.toISOString() }],
  });
});

test('control characters in a description do not reach the terminal', async () => {
  const world = makeWorld({
    listPendingSnapshots: async () => [pending({ description: 'a\u001b[2J\n\u009bb' })],
  });
  await world.run('pending');
  assert.match(world.stdout.text, / {2}a\?\[2J\?\?b\n$/);
});

for (const [line, expected] of [
  ['pending --delete', {}],
  ['pending --delete --force', { force: true }],
  ['pending --delete snap-1 snap-2', { snapshotIds: ['snap-1', 'snap-2'] }],
  ['--region r pending --delete', { region: 'r' }],
] as const) {
  test(`${line} passes its options to the library`, async () => {
    const calls: DeletePendingOptions[] = [];
    const world = makeWorld({
      deletePendingSnapshots: async (options) => {
        calls.push(options ?? {});
        return { deleted: [failed], kept: [] };
      },
    });
    assert.equal(await world.run(line), 0, world.stderr.text);
    assert.deepEqual(calls.map(withoutHooks), [expected]);
    assert.match(world.stdout.text, /^snap-2 .*\n$/);
  });
}

test('pending --force without --delete is a usage error', async () => {
  const world = makeWorld();
  assert.equal(await world.run('pending --force'), 2);
  assert.match(world.stderr.text, /--force cannot be used without --delete/);
});

test('pending --delete names the snapshots that it keeps and how to delete them', async () => {
  const world = makeWorld({ deletePendingSnapshots: async () => ({ deleted: [], kept: [pending()] }) });
  assert.equal(await world.run('pending --delete'), 0);
  assert.equal(world.stdout.text, '');
  assert.match(world.stderr.text, /may be running .*--force/);
  assert.match(world.stderr.text, /^ {2}snap-1$/m);
});

test('the command to repeat an interrupted deletion names only what remains', async () => {
  const deletePendingSnapshots: Library['deletePendingSnapshots'] = async (options) => {
    options?.onEvent?.({
      type: 'warning',
      code: 'SNAPSHOT_DELETED',
      message: 'Snapshot snap-12 was deleted.',
    });
    throw new ColdsnapError('gave-up', 'ENDPOINT_UNREACHABLE', 'could not reach the endpoint');
  };
  const world = makeWorld({ deletePendingSnapshots });
  assert.equal(await world.run('pending --delete snap-1 snap-12 snap-2'), 5);
  assert.match(world.stderr.text, /warning: Snapshot snap-12 was deleted\.\n/);
  assert.match(world.stderr.text, /Run it again: coldsnap pending --delete snap-1 snap-2\n/);
});
