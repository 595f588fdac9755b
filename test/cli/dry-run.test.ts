import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { PendingSnapshot } from '../../src/transfer/options.ts';
import type { PlannedDeletionOptions } from '../../src/transfer/reports.ts';
import { dryRun, makeWorld, withoutHooks } from './support.ts';

test('download --dry-run prints the plan and downloads nothing', async () => {
  const calls: object[] = [];
  const world = makeWorld({
    estimateDownload: async (options) => {
      calls.push(withoutHooks(options));
      return { ...dryRun, bytesResumed: 2 ** 20, overwrites: 'disk.img exists' };
    },
  });
  assert.equal(await world.run('download -n --force snap-1 disk.img'), 0, world.stderr.text);
  assert.deepEqual(calls, [{ snapshotId: 'snap-1', target: 'disk.img', force: true }]);
  assert.deepEqual(world.stdout.lines, [
    'download    snap-1 to disk.img',
    'volume      1.0 GiB (1073741824 bytes)',
    'to fetch    1.0 MiB (1048576 bytes) in 2 blocks',
    'cost        3 requests, less than $0.0001, at least 0.0 s',
    'resumed     1.0 MiB (1048576 bytes) already done',
    'overwrites  disk.img exists',
  ]);
  assert.equal(world.stderr.text, 'dry run: nothing was changed\n');
  assert.deepEqual(world.downloads, []);
});

test('download --dry-run --since says that the target was not compared with the base', async () => {
  const world = makeWorld({ estimateDownload: async () => ({ ...dryRun, blocksToProve: 129 }) });
  assert.equal(await world.run('download -n --since snap-0 snap-1 disk.img'), 0, world.stderr.text);
  assert.equal(
    world.stdout.lines.at(-1),
    'not compared  the target with the base, which fetches at most 129 blocks more',
  );
});

test('upload --dry-run prints the plan and uploads nothing', async () => {
  const { snapshotId: _, ...planned } = dryRun;
  const world = makeWorld({ estimateUpload: async () => ({ ...planned, operation: 'upload' }) });
  assert.equal(await world.run('upload --dry-run disk.img'), 0, world.stderr.text);
  assert.deepEqual(world.stdout.lines.slice(0, 3), [
    'upload   disk.img to a new snapshot',
    'volume   1.0 GiB (1073741824 bytes)',
    'to send  1.0 MiB (1048576 bytes) in 2 blocks',
  ]);
  assert.deepEqual(world.uploads, []);
});

test('--dry-run --json prints one document', async () => {
  const world = makeWorld();
  assert.equal(await world.run('download --dry-run --json snap-1 disk.img'), 0, world.stderr.text);
  assert.deepEqual(JSON.parse(world.stdout.text), dryRun);
});

test('download --dry-run to stdout prints the plan on stderr, because stdout may be a disk', async () => {
  const world = makeWorld({ estimateDownload: async () => ({ ...dryRun, path: '-' }) });
  assert.equal(await world.run('download --dry-run snap-1 -'), 0, world.stderr.text);
  assert.equal(world.stdout.text, '');
  assert.match(world.stderr.text, /^download {2}snap-1 to stdout$/m);
});

test('pending --delete --dry-run prints what would be deleted', async () => {
  const snapshot: PendingSnapshot = {
    snapshotId: 'snap-1',
    status: 'error',
    volumeSizeGiB: 8,
    description: '',
    startTime: new Date('2026-11-26T01:02:03Z'),
    abandoned: true,
  };
  const calls: PlannedDeletionOptions[] = [];
  const world = makeWorld({
    deletePendingSnapshots: async (options) => {
      calls.push(options ?? {});
      return { deleted: [snapshot], kept: [] };
    },
  });
  assert.equal(await world.run('pending --delete --dry-run'), 0, world.stderr.text);
  assert.deepEqual(calls.map(withoutHooks), [{ dryRun: true }]);
  assert.match(world.stdout.text, /^snap-1 /);
  assert.equal(world.stderr.text, 'dry run: to delete: 1, kept: 0\n');
  world.stdout.text = '';
  await world.run('pending --delete --dry-run --json');
  assert.equal(JSON.parse(world.stdout.text).dryRun, true);
  assert.equal(await world.run('pending --dry-run'), 2);
});
