import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { fromLsblk } from '../../src/image/device/lsblk.ts';
import { devicesFromSysfs } from '../../src/image/device/sysfs.ts';
import { listDevices } from '../../src/index.ts';
import { setVariable } from '../ebs/certificates.ts';
import { needsLoop, run, Scratch } from '../support/loop.ts';
import { scratch } from '../support/service.ts';

const MIB = 2 ** 20;

/** Writes sysfs's files, by their paths. */
function sysfs(t: TestContext, files: Readonly<Record<string, string>>) {
  const sys = scratch(t);
  for (const [path, text] of Object.entries(files)) {
    const file = join(sys, 'block', path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, `${text}\n`);
  }
  return { sys, proc: sys };
}

test('without lsblk and sysfs there is an error, and no empty list', (t) => {
  const sys = scratch(t);
  assert.throws(() => devicesFromSysfs({ sys, proc: sys }), {
    class: 'local',
    code: 'ENOENT',
    message: `could not read ${sys}/block: no such file or directory`,
  });
});

test('lists the devices of sysfs where no program can be started', async (t) => {
  const listed = await listDevices();
  // The kernel takes no variable of this size.
  setVariable(t, 'COLDSNAP_LARGE', 'x'.repeat(200_000));
  const paths = (devices: typeof listed) => devices.map(({ path }) => path).sort();
  assert.deepEqual(paths(await listDevices()), paths(listed));
});

test('reads lsblk, a device that is made of several once', () => {
  const raid = { name: 'md0', kname: 'md0', path: '/dev/md0', type: 'raid1', size: 1000, ro: false };
  const output = {
    blockdevices: [
      {
        name: 'nvme0n1',
        kname: 'nvme0n1',
        path: '/dev/nvme0n1',
        type: 'disk',
        size: 8_589_934_592,
        model: 'Amazon Elastic Block Store   ',
        serial: 'vol0123456789abcdef0',
        tran: 'nvme',
        ro: false,
        fstype: null,
        children: [
          {
            kname: 'nvme0n1p1',
            path: '/dev/nvme0n1p1',
            type: 'part',
            size: '4096',
            ro: '1',
            fstype: 'ext4',
            label: 'root',
          },
          raid,
        ],
      },
      { kname: 'sdb', path: '/dev/sdb', type: 'disk', size: 2000, ro: '0', children: [raid] },
      { kname: 'none' },
    ],
  };
  assert.deepEqual(fromLsblk(output), [
    {
      path: '/dev/nvme0n1',
      name: 'nvme0n1',
      type: 'disk',
      size: 8_589_934_592,
      model: 'Amazon Elastic Block Store',
      serial: 'vol0123456789abcdef0',
      transport: 'nvme',
      readOnly: false,
    },
    {
      path: '/dev/nvme0n1p1',
      name: 'nvme0n1p1',
      type: 'part',
      size: 4096,
      readOnly: true,
      parent: '/dev/nvme0n1',
      format: { type: 'ext4', label: 'root' },
    },
    { path: '/dev/md0', name: 'md0', type: 'raid1', size: 1000, readOnly: false, parent: '/dev/nvme0n1' },
    { path: '/dev/sdb', name: 'sdb', type: 'disk', size: 2000, readOnly: false },
  ]);
  for (const nonsense of [undefined, null, 7, [], { blockdevices: 7 }, { blockdevices: [null, 7] }])
    assert.deepEqual(fromLsblk(nonsense), []);
});

test('reads sysfs where there is no lsblk', (t) => {
  const files = sysfs(t, {
    'nvme0n1/size': '16777216',
    'nvme0n1/ro': '0',
    'nvme0n1/device/model': 'Amazon Elastic Block Store              ',
    'nvme0n1/device/serial': 'vol0123456789abcdef0',
    'nvme0n1/nvme0n1p2/partition': '2',
    'nvme0n1/nvme0n1p2/size': '2048',
    'nvme0n1/nvme0n1p2/ro': '1',
    'nvme0n1/nvme0n1p10/partition': '10',
    'nvme0n1/nvme0n1p10/size': '8',
    'nvme0n1/queue/rotational': '0',
    'dm-0/size': '100',
    'dm-0/dm/name': 'vg-root',
    'dm-0/dm/uuid': 'LVM-abcdef',
    'dm-0/slaves/nvme0n1p2/size': '2048',
    'dm-1/size': '100',
    'dm-1/dm/uuid': 'CRYPT-LUKS2-x',
    'cciss!c0d0/size': '100',
    'md0/size': '100',
    'md0/md/level': 'raid1',
    'sr0/size': '0',
    'loop7/size': '2',
    'vda/size': '4',
  });
  const found = devicesFromSysfs(files);
  assert.deepEqual(
    found.map(({ path, type, size, readOnly, parent }) => [path, type, size, readOnly, parent]),
    [
      ['/dev/cciss/c0d0', 'disk', 51_200, false, undefined],
      ['/dev/mapper/vg-root', 'lvm', 51_200, false, '/dev/nvme0n1p2'],
      ['/dev/dm-1', 'crypt', 51_200, false, undefined],
      ['/dev/loop7', 'loop', 1024, false, undefined],
      ['/dev/md0', 'raid1', 51_200, false, undefined],
      ['/dev/nvme0n1', 'disk', 8_589_934_592, false, undefined],
      ['/dev/nvme0n1p2', 'part', MIB, true, '/dev/nvme0n1'],
      ['/dev/nvme0n1p10', 'part', 4096, false, '/dev/nvme0n1'],
      ['/dev/sr0', 'rom', 0, false, undefined],
      ['/dev/vda', 'disk', 2048, false, undefined],
    ],
  );
  const disk = found.find(({ name }) => name === 'nvme0n1');
  assert.deepEqual(
    [disk?.model, disk?.serial, disk?.transport],
    ['Amazon Elastic Block Store', 'vol0123456789abcdef0', 'nvme'],
  );
  assert.equal(found.find(({ name }) => name === 'vda')?.transport, 'virtio');
});

const sectorsOf = (name: string) => Number(readFileSync(`/sys/block/${name}/size`, 'utf8'));

describe('lists real devices', needsLoop, () => {
  const find = async (device: string) =>
    (await listDevices({ all: true })).find(({ path }) => path === device);

  test('with what is on them, without udev', async (t) => {
    const place = await Scratch.for(t);
    const { device: blank } = await place.loop({ bytes: 64 * MIB });
    const { device: filled } = await place.loop({ bytes: MIB, fill: 7 });
    const { device: formatted } = await place.loop({ bytes: 64 * MIB });
    await run('mkfs.ext4', '-q', '-L', 'root', formatted);
    const common = { type: 'loop', readOnly: false, uses: [] };
    assert.deepEqual(await find(blank), { path: blank, size: 64 * MIB, contents: 'blank', ...common });
    const described = await find(filled);
    assert.deepEqual([described?.size, described?.contents], [MIB, 'data of an unknown kind']);
    assert.equal((await find(formatted))?.contents, 'ext4 "root"');
  });

  test('with partitions, their disk, and who uses them', async (t) => {
    const place = await Scratch.for(t);
    const { device } = await place.loop({ bytes: 64 * MIB });
    const partition = await place.partition(device, 2048, 65_536);
    await run('mkfs.ext4', '-q', partition);
    const directory = await place.mount(partition);
    const found = await find(partition);
    assert.deepEqual(found, {
      path: partition,
      type: 'part',
      size: 32 * MIB,
      readOnly: false,
      parent: device,
      contents: 'ext4',
      uses: [`mounted at ${directory} (ext4)`],
    });
    const disk = await find(device);
    assert.ok(
      disk?.uses.some((use) => use.endsWith(`is mounted at ${directory} (ext4)`)),
      String(disk?.uses),
    );
  });

  test('and omits a loop device that is not attached, with lsblk and without', async (t) => {
    const place = await Scratch.for(t);
    const { device } = await place.loop({ bytes: MIB });
    await place.detach(device);
    // Other tests attach the lowest numbers.
    const unattached = readdirSync('/sys/block')
      .filter((name) => /^loop\d+$/.test(name) && sectorsOf(name) === 0)
      .sort((a, b) => Number(a.slice(4)) - Number(b.slice(4)))
      .at(-1);
    assert.ok(unattached !== undefined);
    const check = async () => {
      const listed = await listDevices({ all: true });
      assert.ok(listed.every(({ path, size }) => path !== `/dev/${unattached}` && size > 0));
    };
    await check();
    // The kernel takes no variable of this size, so no program can be started.
    process.env.COLDSNAP_LARGE = 'x'.repeat(200_000);
    try {
      await check();
    } finally {
      delete process.env.COLDSNAP_LARGE;
    }
  });

  test('and omits loop devices, read-only ones among them, unless all are requested', async (t) => {
    const place = await Scratch.for(t);
    const { device } = await place.loop({ bytes: MIB, readOnly: true });
    assert.equal((await find(device))?.readOnly, true);
    const listed = await listDevices();
    assert.ok(listed.every(({ path, readOnly }) => !path.startsWith('/dev/loop') && !readOnly));
  });
});
