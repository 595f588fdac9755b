/** A download makes no new file where only devices or the kernel's own files belong. */
import { strict as assert } from 'node:assert';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { openTarget } from '../../src/image/open-target.ts';
import { needsLoop, Scratch } from '../support/loop.ts';
import { assertFails, MiB } from './blocks.ts';

const missing = [
  '/dev/nvme99n1',
  '/dev/nvme99n1.img',
  '/dev/disk/by-id/no-such-disk',
  '/dev/no-such-directory/disk',
  '/dev/../dev/nvme99n1',
];
for (const path of missing) {
  test(`${path} is no new file, but a device that does not exist`, async () => {
    const error = await assertFails(openTarget(path), 'TARGET_DEVICE_MISSING', /does not exist/);
    assert.equal(error.class, 'usage');
    assert.ok(error.hint);
    assert.ok(!existsSync(path));
  });
}

test('the disks that exist are named', needsLoop, async (t) => {
  const scratch = await Scratch.for(t);
  const { device } = await scratch.loop({ bytes: 8 * MiB });
  const error = await assertFails(openTarget('/dev/nvme99n1'), 'TARGET_DEVICE_MISSING');
  assert.match(error.hint ?? '', new RegExp(`${device}: 8388608 bytes \\(8 MiB\\)`));
  assert.doesNotMatch(error.hint ?? '', /: 0 bytes/);
});

for (const path of [
  '/proc/disk.img',
  '/sys/kernel/disk.img',
  '/proc/self/disk.img',
  '/sys/fs/cgroup/disk.img',
]) {
  test(`${path} is refused: there are no disk images`, async () => {
    const error = await assertFails(openTarget(path), 'TARGET_NOT_SUPPORTED', /kernel's own files/);
    assert.equal(error.class, 'usage');
  });
}

test('a new file in shared memory is allowed, although it is below /dev', async (t) => {
  if (!existsSync('/dev/shm')) return t.skip('there is no /dev/shm');
  const directory = await mkdtemp('/dev/shm/coldsnap-test-');
  t.after(() => rm(directory, { recursive: true }));
  await (await openTarget(join(directory, 'disk.img'))).close();
});
