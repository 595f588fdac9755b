import assert from 'node:assert/strict';
import { symlinkSync } from 'node:fs';
import { test } from 'node:test';
import type { DeviceDescription } from '../../src/transfer/reports.ts';
import { needsBuild } from '../support/built.ts';
import { needsLoop, Scratch } from '../support/loop.ts';
import { ours, Workplace } from '../support/workplace.ts';
import { makeWorld } from './support.ts';

const devices: DeviceDescription[] = [
  {
    path: '/dev/nvme0n1',
    type: 'disk',
    size: 8 * 2 ** 30,
    model: 'Amazon Elastic Block Store',
    serial: 'vol0123456789abcdef0',
    volumeId: 'vol-0123456789abcdef0',
    contents: 'a partition table (gpt) with 1 partition',
    uses: ['its partition nvme0n1p1 is mounted at / (ext4)'],
    readOnly: false,
  },
  {
    path: '/dev/nvme0n1p1',
    type: 'part',
    size: 8 * 2 ** 30,
    contents: 'ext4 "ro\u001bot"',
    uses: ['mounted at / (ext4)'],
    readOnly: true,
    parent: '/dev/nvme0n1',
  },
  { path: '/dev/sdb', type: 'disk', size: 2 ** 40, uses: [], readOnly: false },
];

test('devices prints a table, with whole values for programs and without empty columns', async () => {
  const world = makeWorld({ listDevices: async () => devices.slice(1) });
  assert.equal(await world.run('devices'), 0, world.stderr.text);
  assert.deepEqual(world.stdout.lines, [
    'DEVICE          SIZE     TYPE              CONTENTS      USED',
    '/dev/nvme0n1p1  8.0 GiB  part (read-only)  ext4 "ro?ot"  mounted at / (ext4)',
    '/dev/sdb        1.0 TiB  disk              unknown',
  ]);
});

for (const columns of [40, 60, 80, 250]) {
  test(`the table fits a terminal of ${columns} columns`, async () => {
    const world = makeWorld({ listDevices: async () => devices });
    world.stdout.isTTY = true;
    world.stdout.columns = columns;
    assert.equal(await world.run('devices'), 0, world.stderr.text);
    const longest = Math.max(...world.stdout.lines.map((line) => line.length));
    assert.ok(longest <= columns, world.stdout.text);
    assert.ok(world.stdout.lines[2]?.startsWith('/dev/nvme0n1p1  '), world.stdout.text);
    if (columns >= 60) assert.match(world.stdout.text, /vol-0123456789abcdef0/);
  });
}

test('devices --json prints one document, and --all is passed on', async () => {
  const calls: unknown[] = [];
  const world = makeWorld({
    listDevices: async (options) => {
      calls.push(options);
      return devices;
    },
  });
  assert.equal(await world.run('devices --all --json'), 0, world.stderr.text);
  assert.deepEqual(JSON.parse(world.stdout.text), { devices });
  await world.run('devices');
  assert.deepEqual(calls, [{ all: true }, { all: false }]);
});

test('devices works without lsblk, region and credentials', {
  skip: needsBuild.skip ?? needsLoop.skip ?? false,
}, async (t) => {
  const place = await Workplace.for(t);
  const scratch = await Scratch.for(t);
  const { device } = await scratch.loop({ bytes: 2 ** 24 });
  symlinkSync(process.execPath, scratch.path('node'));
  const env = { PATH: scratch.directory, AWS_REGION: undefined, AWS_ACCESS_KEY_ID: undefined };
  const { exit, stdout, stderr } = await place.run(ours, ['devices', '--all', '--json'], env);
  assert.equal(exit, 0, stderr);
  const found = (JSON.parse(stdout) as { devices: DeviceDescription[] }).devices;
  assert.deepEqual(
    found.find(({ path }) => path === device),
    { path: device, type: 'loop', size: 2 ** 24, readOnly: false, contents: 'blank', uses: [] },
  );
  assert.deepEqual(place.emulator.log, []);
});
