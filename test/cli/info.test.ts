import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DiskLayout, InfoOptions } from '../../src/transfer/reports.ts';
import { infoResult, makeWorld, withoutHooks } from './support.ts';

const layout: DiskLayout = {
  table: 'gpt',
  partitions: [
    { number: 1, start: 2 ** 20, size: 2 ** 26, type: 'EFI System', contents: { type: 'vfat' } },
    {
      number: 2,
      start: 2 ** 27,
      size: 2 ** 29,
      type: 'Linux filesystem',
      contents: { type: 'ext4', label: 'ro\u001b[2Jot' },
    },
  ],
};

test('info prints a report, a map, and the commands that follow', async () => {
  const calls: InfoOptions[] = [];
  const world = makeWorld({
    snapshotInfo: async (options) => {
      calls.push(options);
      return {
        ...infoResult,
        state: 'completed',
        encrypted: true,
        startTime: new Date('2026-11-26T01:02:03.456Z'),
        description: 'disk.img',
        tags: { Name: 'web', team: 'a' },
        map: [1, 0.5, 0.0001, 0],
        layout,
      };
    },
  });
  assert.equal(await world.run('info snap-1'), 0, world.stderr.text);
  assert.deepEqual(calls.map(withoutHooks), [{ snapshotId: 'snap-1', mapCells: 78, readLayout: true }]);
  assert.deepEqual(world.stdout.lines, [
    'snapshot     snap-1, completed, encrypted, started 2026-11-26T01:02:03Z',
    'description  disk.img',
    'tags         Name=web, team=a',
    'volume       1.0 GiB (1073741824 bytes) in blocks of 512.0 KiB',
    'data         1.0 MiB (1048576 bytes) in 2 blocks, 1 range, less than 1 % of the volume',
    'download     3 requests, less than $0.0001, at least 0.0 s',
    'partitions (gpt):',
    '  1  64.0 MiB   EFI System        vfat',
    '  2  512.0 MiB  Linux filesystem  ext4 "ro?[2Jot"',
    '|#-. |',
    '',
    'To restore it to a disk of 1.0 GiB or more, which "coldsnap devices" lists:',
    '  sudo -E coldsnap download snap-1 /dev/nvme1n1',
    '  sudo mount /dev/nvme1n1p2 /mnt',
    'To restore it to a file:',
    '  coldsnap download snap-1 snap-1.img',
    '  sudo mount -o loop,offset=134217728,sizelimit=536870912 snap-1.img /mnt',
    'To move the backup GPT header to the end of the disk, if that is larger:',
    '  sudo sfdisk --relocate gpt-bak-std /dev/nvme1n1',
    'To grow partition 2 to the end of the disk, if that is larger:',
    "  echo ', +' | sudo sfdisk -N 2 /dev/nvme1n1",
    '  sudo partx --update /dev/nvme1n1',
    '  sudo e2fsck -f -p /dev/nvme1n1p2',
    '  sudo resize2fs /dev/nvme1n1p2',
  ]);
  assert.equal(world.stderr.text, 'listed 2 blocks of snap-1\n');
});

for (const [title, env, command, expected] of [
  ['blocks in a UTF-8 locale', { LANG: 'C.UTF-8' }, 'info', '|█▃▁ |'],
  ['ASCII with --no-color', { LANG: 'C.UTF-8' }, 'info --no-color', '|#-. |'],
  ['ASCII with --no-color before the command', { LANG: 'C.UTF-8' }, '--no-color info', '|#-. |'],
  ['ASCII with NO_COLOR', { LANG: 'C.UTF-8', NO_COLOR: '1' }, 'info', '|#-. |'],
  ['ASCII where LC_ALL is not UTF-8', { LANG: 'C.UTF-8', LC_ALL: 'C' }, 'info', '|#-. |'],
] as const) {
  test(`the map has ${title}`, async () => {
    const world = makeWorld({
      snapshotInfo: async () => ({ ...infoResult, map: [1, 0.5, 0.0001, 0] }),
    });
    Object.assign(world.env, env);
    assert.equal(await world.run(`${command} snap-1`), 0, world.stderr.text);
    assert.ok(world.stdout.lines.includes(expected), world.stdout.text);
  });
}

test('the map is as wide as the terminal', async () => {
  const calls: InfoOptions[] = [];
  const world = makeWorld({
    snapshotInfo: async (options) => {
      calls.push(options);
      return infoResult;
    },
  });
  world.stdout.columns = 132;
  await world.run('info snap-1');
  assert.equal(calls[0]?.mapCells, 130);
});

test('info --json prints one document and asks for no blocks', async () => {
  const calls: InfoOptions[] = [];
  const world = makeWorld({
    snapshotInfo: async (options) => {
      calls.push(options);
      return infoResult;
    },
  });
  assert.equal(await world.run('info --json snap-1'), 0, world.stderr.text);
  assert.deepEqual(calls.map(withoutHooks), [{ snapshotId: 'snap-1' }]);
  assert.deepEqual(JSON.parse(world.stdout.text), infoResult);
});

test('info --ranges prints a line for each range, and with --json a list of them', async () => {
  const ranges = [
    { start: 0, end: 524_288 },
    { start: 70_368_743_653_376, end: 70_368_744_177_664 },
  ];
  const world = makeWorld({
    snapshotInfo: async ({ onRange }) => {
      for (const range of ranges) await onRange?.(range);
      return infoResult;
    },
  });
  assert.equal(await world.run('info --ranges snap-1'), 0, world.stderr.text);
  assert.equal(world.stdout.text, '0-524288\n70368743653376-70368744177664\n');
  world.stdout.text = '';
  assert.equal(await world.run('info --ranges --json snap-1'), 0, world.stderr.text);
  assert.deepEqual(JSON.parse(world.stdout.text), { ...infoResult, ranges });
});

test('info --ranges --json prints an empty list for a snapshot without blocks', async () => {
  const world = makeWorld({ snapshotInfo: async () => ({ ...infoResult, blocks: 0 }) });
  assert.equal(await world.run('info --ranges --json snap-1'), 0);
  assert.deepEqual(JSON.parse(world.stdout.text).ranges, []);
});

test('info prints how far the list is, and no transfer', async () => {
  const world = makeWorld({
    snapshotInfo: async ({ onEvent }) => {
      onEvent?.({ type: 'phase', phase: 'listing', bytesDone: 2 ** 30, bytesTotal: 2 ** 33 });
      world.clock.advance(11_000);
      return infoResult;
    },
  });
  await world.run('info snap-1');
  assert.match(world.stderr.lines[0]!, /^listing the blocks: 1\.0 GiB of 8\.0 GiB/);
});

test('the commands that info prints name the region and endpoint that it was given', async () => {
  const world = makeWorld({ snapshotInfo: async () => infoResult });
  const given = '--region eu-west-1 --endpoint http://127.0.0.1:4590';
  assert.equal(await world.run(`${given} info snap-1`), 0, world.stderr.text);
  const commands = world.stdout.lines.filter((line) => line.includes('coldsnap download'));
  assert.deepEqual(commands, [
    `  sudo -E coldsnap download ${given} snap-1 /dev/nvme1n1`,
    `  coldsnap download ${given} snap-1 snap-1.img`,
  ]);
});
