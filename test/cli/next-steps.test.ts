import assert from 'node:assert/strict';
import { test } from 'node:test';
import { partitionPath, stepsWithDisk, stepsWithFile } from '../../src/cli/next-steps.ts';
import type { DescribedPartition, DiskLayout } from '../../src/transfer/reports.ts';
import { makeWorld } from './support.ts';

const partition = (number: number, size: number, type?: string): DescribedPartition => ({
  number,
  start: number * 2 ** 30,
  size,
  type: 'Linux filesystem',
  ...(type === undefined ? {} : { contents: { type } }),
});

const lines = (layout: DiskLayout, given: { larger?: boolean; partitionsKnown?: boolean } = {}) =>
  stepsWithDisk({ path: '/dev/sdb', layout, larger: false, partitionsKnown: true, ...given }).flatMap(
    (step) => step.lines,
  );

const gpt: DiskLayout = {
  table: 'gpt',
  partitions: [partition(1, 100, 'vfat'), partition(2, 300, 'xfs'), partition(3, 200, 'swap')],
};

test('partitions have a p after a digit', () => {
  assert.equal(partitionPath('/dev/sdb', 2), '/dev/sdb2');
  assert.equal(partitionPath('/dev/nvme1n1', 2), '/dev/nvme1n1p2');
});

test('a disk: mounts the largest partition with a file system', () => {
  assert.deepEqual(lines(gpt), ['sudo mount /dev/sdb2 /mnt']);
  assert.deepEqual(lines(gpt, { partitionsKnown: false }), [
    'sudo partx --update /dev/sdb',
    'sudo mount /dev/sdb2 /mnt',
  ]);
  assert.deepEqual(lines({ partitions: [], contents: { type: 'ext4' } }), ['sudo mount /dev/sdb /mnt']);
  assert.deepEqual(lines({ partitions: [] }, { larger: true, partitionsKnown: false }), []);
});

test('a larger disk: moves the backup GPT header, and grows the last partition if it can', () => {
  const relocate = 'sudo sfdisk --relocate gpt-bak-std /dev/sdb';
  assert.deepEqual(lines(gpt, { larger: true }), [relocate, 'sudo mount /dev/sdb2 /mnt']);
  const grow = (type: string, table: 'gpt' | 'dos') =>
    lines({ table, partitions: [partition(1, 100, type)] }, { larger: true });
  const resize = ["echo ', +' | sudo sfdisk -N 1 /dev/sdb", 'sudo partx --update /dev/sdb'];
  assert.deepEqual(grow('ext4', 'dos'), [
    ...resize,
    'sudo e2fsck -f -p /dev/sdb1',
    'sudo resize2fs /dev/sdb1',
    'sudo mount /dev/sdb1 /mnt',
  ]);
  assert.deepEqual(grow('xfs', 'gpt'), [
    relocate,
    ...resize,
    'sudo mount /dev/sdb1 /mnt',
    'sudo xfs_growfs /mnt',
  ]);
  assert.deepEqual(lines({ partitions: [], contents: { type: 'btrfs' } }, { larger: true }), [
    'sudo mount /dev/sdb /mnt',
    'sudo btrfs filesystem resize max /mnt',
  ]);
});

test('a file: mounts a partition by its offset, or the whole', () => {
  const of = (path: string, layout: DiskLayout) => stepsWithFile(path, layout).flatMap((step) => step.lines);
  assert.deepEqual(of('a b.img', gpt), [`sudo mount -o loop,offset=${2 ** 31},sizelimit=300 'a b.img' /mnt`]);
  assert.deepEqual(of('-x', { partitions: [], contents: { type: 'xfs' } }), ['sudo mount -o loop ./-x /mnt']);
  assert.deepEqual(of('a', { table: 'dos', partitions: [] }), ['sudo losetup --find --show --partscan a']);
  assert.deepEqual(of('a', { partitions: [] }), []);
});

test('a download prints the steps after its summary, unless it is quiet, JSON or to stdout', async () => {
  let reads = 0;
  const world = makeWorld({
    readImageLayout: async (path) => {
      reads++;
      return { path, sizeBytes: 2 ** 31, isDevice: true, partitionsKnown: true, ...gpt };
    },
  });
  assert.equal(await world.run('download snap-1 /dev/sdb'), 0, world.stderr.text);
  assert.match(
    world.stderr.text,
    /^partitions \(gpt\):\n {2}1 .*\n[\s\S]*To mount it:\n {2}sudo mount \/dev\/sdb2/m,
  );
  assert.equal(world.stdout.text, '');
  for (const line of ['--quiet', '--json', '--progress json']) await world.run(`download ${line} snap-1 a`);
  await world.run('download snap-1 -');
  assert.equal(reads, 1);
});

test('a restored image that cannot be read is no failure', async () => {
  const world = makeWorld({
    readImageLayout: async () => {
      throw new Error('gone');
    },
  });
  assert.equal(await world.run('download snap-1 disk.img'), 0, world.stderr.text);
});
