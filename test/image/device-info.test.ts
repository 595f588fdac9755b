/** Describes devices: who uses them, and how they differ. The kernel files are made up. */
import { strict as assert } from 'node:assert';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { test } from 'node:test';
import { deviceIdentity, deviceNumber } from '../../src/image/device/identity.ts';
import { describeUsers } from '../../src/image/device/users.ts';
import { formatSize } from '../../src/image/messages/common.ts';
import { stateDirectory, stateFile } from '../../src/image/state-files.ts';
import { Scratch } from '../support/loop.ts';

/** st_rdev of 8:16 and 8:17. */
const sdb = 0x810n;
const sdb1 = 0x811n;

/** A tree of files under the scratch directory; `-> x` makes a symbolic link. */
async function tree(scratch: Scratch, files: Readonly<Record<string, string>>) {
  for (const [name, content] of Object.entries(files)) {
    const path = scratch.path(name);
    await mkdir(dirname(path), { recursive: true });
    if (content.startsWith('-> ')) await symlink(content.slice(3), path);
    else await writeFile(path, content);
  }
  return { proc: scratch.path('proc'), sys: scratch.path('sys') };
}

const disk = {
  'sys/devices/sdb/dev': '8:16\n',
  'sys/devices/sdb/sdb1/dev': '8:17\n',
  'sys/devices/sdb/sdb1/partition': '1\n',
  'sys/devices/sdb/queue/rotational': '0\n',
  'sys/dev/block/8:16': '-> ../../devices/sdb',
  'sys/dev/block/8:17': '-> ../../devices/sdb/sdb1',
};

test('a device number is written as the kernel does', () => {
  assert.equal(deviceNumber(sdb), '8:16');
  assert.equal(deviceNumber((1n << 20n) | 0x0fd05n), '253:261');
});

test('finds mounts by device number, with spaces in their names, and those of partitions', async (t) => {
  const files = await tree(await Scratch.for(t), {
    ...disk,
    'proc/self/mountinfo': [
      '22 27 0:21 / /proc rw,relatime - proc proc rw',
      '42 27 8:16 / /mnt/with\\040space rw,relatime shared:1 master:2 - xfs /dev/sdb rw',
      '43 27 8:17 / /boot rw - ext4 /dev/sdb1 rw',
      '44 27 8:18 / /other rw - ext4 /dev/sdb2 rw',
      'a broken line',
      '',
    ].join('\n'),
  });
  assert.deepEqual(await describeUsers(sdb, { files }), [
    'mounted at /mnt/with space (xfs)',
    'its partition sdb1 is mounted at /boot (ext4)',
  ]);
  assert.deepEqual(await describeUsers(sdb1, { files }), [
    'its disk sdb is mounted at /mnt/with space (xfs)',
    'mounted at /boot (ext4)',
  ]);
});

test('holders are named, with the name of a logical volume', async (t) => {
  const files = await tree(await Scratch.for(t), {
    ...disk,
    'sys/devices/sdb/holders/md127/dev': '9:127',
    'sys/devices/sdb/sdb1/holders/dm-0/dm/name': 'vg-root\n',
  });
  assert.deepEqual(await describeUsers(sdb, { files }), [
    'held by md127',
    'its partition sdb1 is held by dm-0 (vg-root)',
  ]);
});

test('counts users beyond the fifth', async (t) => {
  const lines = Array.from({ length: 9 }, (_, i) => `4${i} 27 8:16 / /mnt/${i} rw - ext4 /dev/sdb rw`);
  const files = await tree(await Scratch.for(t), { ...disk, 'proc/self/mountinfo': lines.join('\n') });
  const uses = await describeUsers(sdb, { files });
  assert.equal(uses.length, 6);
  assert.equal(uses.at(-1), '4 more');
});

test('another path to the same disk counts, and a disk below device mapper that is mounted', async (t) => {
  const files = await tree(await Scratch.for(t), {
    ...disk,
    'sys/devices/sdb/device/wwid': 'naa.5000c500\n',
    'sys/devices/sdc/dev': '8:32\n',
    'sys/devices/sdc/device/wwid': 'naa.5000c500\n',
    'sys/devices/sdd/dev': '8:48\n',
    'sys/devices/sdd/device/wwid': 'naa.other\n',
    'sys/devices/sdb/sdb1/holders/dm-0/dev': '253:0\n',
    'sys/devices/dm-0/dev': '253:0\n',
    'sys/dev/block/8:32': '-> ../../devices/sdc',
    'sys/dev/block/8:48': '-> ../../devices/sdd',
    'sys/dev/block/253:0': '-> ../../devices/dm-0',
    'proc/self/mountinfo': [
      '42 27 8:32 / /other-path rw - xfs /dev/sdc rw',
      '43 27 8:48 / /other-disk rw - xfs /dev/sdd rw',
      '44 27 253:0 / /volume ro - xfs /dev/mapper/volume ro',
    ].join('\n'),
  });
  assert.deepEqual(await describeUsers(sdb, { files }), [
    'sdc, which shares its storage, is mounted at /other-path (xfs)',
    'dm-0, which shares its storage, is mounted at /volume (xfs)',
    'its partition sdb1 is held by dm-0',
  ]);
  assert.deepEqual(await describeUsers(sdb, { writers: true, files }), [
    'sdc, which shares its storage, is mounted at /other-path (xfs)',
  ]);
});

test('names no users where nothing can be read', async (t) => {
  const scratch = await Scratch.for(t);
  const files = { proc: scratch.path('proc'), sys: scratch.path('sys') };
  assert.deepEqual(await describeUsers(sdb, { files }), []);
});

test('identifies a device by WWID, serial or UUID before number and size', async (t) => {
  const cases = [
    [{ 'sys/devices/sdb/wwid': 'nvme.1d0f-766f6c\n' }, 'wwid:nvme.1d0f-766f6c'],
    [{ 'sys/devices/sdb/device/wwid': 'naa.5000\n', 'sys/devices/sdb/device/serial': 'S1' }, 'wwid:naa.5000'],
    [{ 'sys/devices/sdb/dm/uuid': 'LVM-abc\n' }, 'uuid:LVM-abc'],
    [{ 'sys/devices/sdb/serial': 'vol0123\n' }, 'serial:vol0123'],
    [{ 'sys/devices/sdb/serial': '\n' }, 'device:8:16:4096'],
    [{ 'sys/devices/sdb/loop/backing_file': '/disk.img\n' }, 'loop:/disk.img:0:4096'],
    [{}, 'device:8:16:4096'],
  ] as const;
  for (const [files, expected] of cases) {
    const { sys } = await tree(await Scratch.for(t), { ...disk, ...files });
    assert.equal(await deviceIdentity(sdb, 4096, sys), expected);
  }
  const { sys } = await tree(await Scratch.for(t), { ...disk, 'sys/devices/sdb/wwid': 'naa.5000\n' });
  assert.equal(await deviceIdentity(sdb1, 2048, sys), 'wwid:naa.5000:part1');
  assert.equal(await deviceIdentity(0x900n, 2048, sys), 'device:9:0:2048');
});

test('the state directory is the one of systemd, /var/lib for root, else in the home directory', () => {
  assert.equal(stateDirectory({ STATE_DIRECTORY: '/run/a:/run/b' }, 0), '/run/a');
  assert.equal(stateDirectory({}, 0), '/var/lib/coldsnap');
  assert.equal(stateDirectory({ XDG_STATE_HOME: '/state' }, 1000), '/state/coldsnap');
  assert.equal(
    stateDirectory({ XDG_STATE_HOME: 'relative', HOME: '/home/me' }, 1000),
    '/home/me/.local/state/coldsnap',
  );
});

test('state files of different things have different names, whatever is in their identities', () => {
  const names = ['a/b', 'a-b', 'a b', 'x'.repeat(300), `${'x'.repeat(300)}y`].map((identity) =>
    stateFile(identity, 'json'),
  );
  assert.equal(new Set(names).size, names.length);
  for (const name of names) assert.match(name.slice(name.lastIndexOf('/') + 1), /^[\w.-]{1,120}\.json$/);
});

test('prints sizes exactly and in units', () => {
  assert.equal(formatSize(512), '512 bytes');
  assert.equal(formatSize(1024), '1024 bytes (1 KiB)');
  assert.equal(formatSize(10 * 1024 ** 3), '10737418240 bytes (10 GiB)');
  assert.equal(formatSize(10 * 1024 ** 3 + 5e8), '11237418240 bytes (about 10.5 GiB)');
});
