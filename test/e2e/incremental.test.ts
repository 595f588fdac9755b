/** Incremental uploads by the installed command line. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { closeSync, existsSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { test } from 'node:test';
import { needsBuild } from '../support/built.ts';
import { ours, Workplace } from '../support/workplace.ts';

const MIB = 2 ** 20;

test(
  'a chain of backups prints IDs on stdout, and what was sent, skipped and saved on stderr',
  needsBuild,
  async (t) => {
    const place = await Workplace.for(t);
    const env = { AWS_ENDPOINT_URL: place.emulator.url };
    writeFileSync(place.path('disk.img'), randomBytes(4 * MIB));
    const first = await place.run(
      ours,
      ['upload', '--wait', '--save-digests', 'disk.digests', 'disk.img'],
      env,
    );
    assert.equal(first.exit, 0, first.stderr);
    const parent = first.stdout.trim();
    const change = openSync(place.path('disk.img'), 'r+');
    writeSync(change, randomBytes(10), 0, 10, MIB);
    closeSync(change);
    const args = ['upload', '--incremental', '--parent-snapshot-id', parent, '--base', 'disk.digests'];

    const plan = await place.run(ours, [...args, '--dry-run', 'disk.img'], env);
    assert.equal(plan.exit, 0, plan.stderr);
    assert.match(plan.stdout, /^to send +at most 4\.0 MiB \(4194304 bytes\) in 8 blocks$/m);
    assert.match(plan.stdout, /^not read +the source, whose contents decide which blocks are sent$/m);

    const second = await place.run(ours, [...args, '--save-digests', 'disk.digests', 'disk.img'], env);
    assert.equal(second.exit, 0, second.stderr);
    assert.match(second.stdout, /^snap-[0-9a-f]+\n$/);
    assert.match(second.stderr, /1 block sent, 2,047 skipped, \$0\.0123 saved/);
    assert.ok(!existsSync(place.path('disk.digests.partial')));
    assert.equal(place.emulator.snapshot(second.stdout.trim())?.parentSnapshotId, parent);
    assert.deepEqual(place.emulator.requests('GetSnapshotBlock'), []);
  },
);

test(
  'where nothing differs and the service takes no empty snapshot, the ID of the parent is printed',
  needsBuild,
  async (t) => {
    const place = await Workplace.for(t);
    const env = { AWS_ENDPOINT_URL: place.emulator.url };
    writeFileSync(place.path('disk.img'), randomBytes(MIB));
    const first = await place.run(ours, ['upload', '--wait', 'disk.img'], env);
    const parent = first.stdout.trim();
    const action = {
      type: 'error',
      status: 400,
      code: 'ValidationException',
      reason: 'INVALID_PARAMETER_VALUE',
    } as const;
    place.emulator.setFaults([{ operation: 'CompleteSnapshot', action }]);
    for (const more of [[], ['--json'], ['--wait']]) {
      const args = ['upload', ...more, '--incremental', '--parent-snapshot-id', parent, 'disk.img'];
      const { exit, stdout, stderr } = await place.run(ours, args, env);
      assert.equal(exit, 0, stderr);
      const id = more[0] === '--json' ? JSON.parse(stdout).snapshotId : stdout.trim();
      assert.equal(id, parent);
      assert.match(stderr, new RegExp(`Nothing differs from ${parent}`));
      assert.match(stderr, /Snapshot snap-[0-9a-f]+ was deleted/);
    }
  },
);
