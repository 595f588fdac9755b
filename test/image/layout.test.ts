/** Partition tables and formats, compared with what made them. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { closeSync, openSync, readFileSync, readSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { describeLayout, readLayout } from '../../src/image/layout/layout.ts';
import { type ReadBytes, recognize } from '../../src/image/layout/signatures.ts';
import { scratch } from '../support/service.ts';

const MIB = 2 ** 20;

const fromBuffer =
  (data: Buffer): ReadBytes =>
  async (offset, length) =>
    data.subarray(offset, offset + length);

const fromFile =
  (path: string): ReadBytes =>
  async (offset, length) => {
    const file = openSync(path, 'r');
    try {
      const buffer = Buffer.alloc(length);
      return buffer.subarray(0, readSync(file, buffer, 0, length, offset));
    } finally {
      closeSync(file);
    }
  };

function image(t: TestContext, size = 64 * MIB): string {
  const path = join(scratch(t), 'disk.img');
  writeFileSync(path, '');
  truncateSync(path, size);
  return path;
}

const has = (program: string) => spawnSync(program, ['--version']).error === undefined;
const needs = (program: string) => (has(program) ? {} : { skip: `${program} is not installed` });

const makers: readonly [program: string, args: readonly string[], type: string, label?: string][] = [
  ['mkfs.ext4', ['-q', '-F', '-L', 'root'], 'ext4', 'root'],
  ['mkfs.ext3', ['-q', '-F', '-L', 'home dir'], 'ext3', 'home dir'],
  ['mkfs.ext2', ['-q', '-F'], 'ext2'],
  ['mkfs.xfs', ['-q', '-L', 'data'], 'xfs', 'data'],
  ['mkfs.btrfs', ['-q', '-L', 'pool'], 'btrfs', 'pool'],
  ['mkfs.vfat', ['-n', 'EFI'], 'vfat', 'EFI'],
  ['mkfs.ntfs', ['-F', '-Q', '-L', 'win'], 'ntfs', 'win'],
  ['mkswap', ['-q', '-L', 'swap0'], 'swap', 'swap0'],
];

describe('recognizes what was made by', () => {
  for (const [program, args, type, label] of makers) {
    test(program, needs(program), async (t) => {
      const path = image(t, 400 * MIB);
      execFileSync(program, [...args, path], { stdio: 'pipe' });
      const expected = label === undefined ? { type } : { type, label };
      assert.deepEqual(await readLayout(fromFile(path)), { partitions: [], contents: expected });
    });
  }
});

describe('reads the label of an NTFS volume', needs('mkfs.ntfs'), () => {
  /** A volume with a label that is not ASCII. */
  const volume = (t: TestContext, args: readonly string[] = [], bytes = 400 * MIB) => {
    const path = image(t, bytes);
    execFileSync('mkfs.ntfs', ['-F', '-Q', '-L', 'größer 日本', ...args, path], { stdio: 'pipe' });
    return path;
  };
  const named = { type: 'ntfs', label: 'größer 日本' };

  for (const args of [[], ['-c', '512'], ['-c', '65536'], ['-c', '262144'], ['-s', '4096', '-c', '4096']]) {
    test(`made with ${args.join(' ') || 'no options'}`, async (t) => {
      assert.deepEqual(await recognize(fromFile(volume(t, args)), 0), named);
    });
  }

  test('at the beginning of a partition', async (t) => {
    const path = volume(t);
    const read: ReadBytes = (offset, length) => fromFile(path)(offset - MIB, length);
    assert.deepEqual(await recognize(read, MIB), named);
  });

  test('and only its type, where the record of the label cannot be read or is torn', async (t) => {
    const path = volume(t, ['-c', '4096'], 16 * MIB);
    const data = readFileSync(path);
    const record = Number(data.readBigUInt64LE(48)) * 4096 + 3 * 1024;
    const damages: [string, (copy: Buffer) => Buffer][] = [
      ['the image ends before it', (copy) => copy.subarray(0, record)],
      ['the image ends in it', (copy) => copy.subarray(0, record + 300)],
      ['it is zeros', (copy) => copy.fill(0, record, record + 1024)],
      ['one of its sectors is older', (copy) => copy.fill(7, record + 510, record + 512)],
      ['its attributes have no length', (copy) => copy.fill(0, record + 60, record + 64)],
      ['the table is nowhere', (copy) => copy.fill(255, 48, 56)],
      ['its size is impossible', (copy) => copy.fill(128, 64, 65)],
    ];
    for (const [what, damage] of damages) {
      const copy = damage(Buffer.from(data));
      assert.deepEqual(await recognize(fromBuffer(copy), 0), { type: 'ntfs' }, what);
    }
  });
});

describe('recognizes', () => {
  const at = (offset: number, ...parts: (string | number[])[]) => {
    const data = Buffer.alloc(70_000);
    let to = offset;
    for (const part of parts) {
      const bytes = typeof part === 'string' ? Buffer.from(part, 'latin1') : Buffer.from(part);
      bytes.copy(data, to);
      to += bytes.length;
    }
    return data;
  };
  const cases: readonly [string, Buffer, object][] = [
    ['LUKS 1', at(0, 'LUKS', [0xba, 0xbe, 0, 1]), { type: 'crypto_LUKS' }],
    ['LVM', at(512, 'LABELONE', new Array(16).fill(0), 'LVM2 001'), { type: 'LVM2_member' }],
    ['md 1.2', at(4096, [0xfc, 0x4e, 0x2b, 0xa9]), { type: 'linux_raid_member' }],
    ['btrfs', at(65_600, '_BHRfS_M'), { type: 'btrfs' }],
    ['squashfs', at(0, 'hsqs'), { type: 'squashfs' }],
    ['iso9660', at(32_769, 'CD001'), { type: 'iso9660' }],
    ['f2fs', at(1024, [0x10, 0x20, 0xf5, 0xf2]), { type: 'f2fs' }],
    ['NTFS', at(3, 'NTFS    '), { type: 'ntfs' }],
    ['exFAT', at(3, 'EXFAT   '), { type: 'exfat' }],
    ['swap with pages of 64 KiB', at(65_526, 'SWAPSPACE2'), { type: 'swap' }],
  ];
  for (const [title, data, expected] of cases) {
    test(title, async () => assert.deepEqual(await recognize(fromBuffer(data), 0), expected));
  }
  test('FAT without a label', async () => {
    const data = at(54, 'FAT16   ');
    data.write('NO NAME    ', 43);
    data.writeUInt16BE(0x55aa, 510);
    assert.deepEqual(await recognize(fromBuffer(data), 0), { type: 'vfat' });
  });
});

interface SfdiskTable {
  partitiontable: { partitions: { node: string; start: number; size: number; sectorsize?: number }[] };
}

/** Partitions the image with a script, and returns what sfdisk reads back, in bytes. */
function partitionWith(path: string, script: string) {
  execFileSync('sfdisk', ['--quiet', path], { input: script, stdio: 'pipe' });
  const table = JSON.parse(execFileSync('sfdisk', ['--json', path], { encoding: 'utf8' })) as SfdiskTable;
  return table.partitiontable.partitions.map(({ node, start, size }) => ({
    number: Number(node.slice(path.length)),
    start: start * 512,
    size: size * 512,
  }));
}

describe('reads the partitions that sfdisk made', needs('sfdisk'), () => {
  for (const [title, script, types] of [
    ['GPT', 'label: gpt\n,8M,U\n,8M,S\n,,L\n', ['EFI System', 'Linux swap', 'Linux filesystem']],
    [
      'GPT with gaps in the numbers',
      'label: gpt\n15: size=8M,type=U\n1: type=L\n',
      ['Linux filesystem', 'EFI System'],
    ],
    ['MBR', 'label: dos\n,8M,c,*\n,,83\n', ['W95 FAT32 (LBA)', 'Linux']],
    [
      'MBR with logical partitions',
      'label: dos\n,8M,83\n,,5\n,8M,83\n,8M,82\n,8M,8e\n',
      ['Linux', 'Extended', 'Linux', 'Linux swap / Solaris', 'Linux LVM'],
    ],
  ] as const) {
    test(title, async (t) => {
      const path = image(t);
      const expected = partitionWith(path, script).sort((a, b) => a.number - b.number);
      const { table, partitions } = await readLayout(fromFile(path));
      assert.equal(table, title.startsWith('GPT') ? 'gpt' : 'dos');
      assert.deepEqual(
        partitions,
        expected.map((partition, at) => ({ ...partition, type: types[at] })),
      );
    });
  }

  test('with the format in each', needs('mkfs.ext4'), async (t) => {
    const path = image(t);
    const [, second] = partitionWith(path, 'label: gpt\n,8M,U\n,,L\n');
    execFileSync('mkfs.ext4', ['-q', '-L', 'root', '-E', `offset=${second!.start}`, path, '16M'], {
      stdio: 'pipe',
    });
    const layout = await readLayout(fromFile(path));
    assert.deepEqual(
      layout.partitions.map(({ contents }) => contents),
      [undefined, { type: 'ext4', label: 'root' }],
    );
    assert.equal(describeLayout(layout), 'a partition table (gpt) with 2 partitions');
  });
});

test('GPT with sectors of 4 KiB', async () => {
  const data = Buffer.alloc(64 * 1024);
  data.writeUInt16BE(0x55aa, 510);
  data[450] = 0xee;
  data.writeUInt32LE(1000, 458);
  data.write('EFI PART', 4096);
  data.writeBigUInt64LE(2n, 4096 + 72);
  data.writeUInt32LE(128, 4096 + 80);
  data.writeUInt32LE(128, 4096 + 84);
  data.fill(0xab, 8192, 8208);
  data.writeBigUInt64LE(256n, 8192 + 32);
  data.writeBigUInt64LE(511n, 8192 + 40);
  const type = 'ABABABAB-ABAB-ABAB-ABAB-ABABABABABAB';
  assert.deepEqual(await readLayout(fromBuffer(data)), {
    table: 'gpt',
    partitions: [{ number: 1, start: MIB, size: MIB, type }],
  });
});

test('finds nothing in zeros, in random data, and where nothing can be read', async () => {
  for (const data of [Buffer.alloc(MIB), Buffer.alloc(0), Buffer.alloc(511, 0x55)])
    assert.deepEqual(await readLayout(fromBuffer(data)), { partitions: [] });
  assert.equal(describeLayout({ partitions: [] }), undefined);
});

test('survives tables of random bytes, and chains of logical partitions without an end', async () => {
  for (let round = 0; round < 300; round++) {
    const data = randomBytes(70_000);
    data.writeUInt16BE(0x55aa, 510);
    for (const at of [446, 462, 478, 494]) data[at] = 0;
    if (round % 3 === 0) {
      data[450] = 0xee;
      data.write('EFI PART', 512);
      data.writeUInt32LE(128, 512 + 84);
    }
    await readLayout(fromBuffer(data));
  }
  const loop = Buffer.alloc(512);
  loop.writeUInt16BE(0x55aa, 510);
  loop[450] = 0x05;
  loop.writeUInt32LE(1, 458);
  loop[466] = 0x05;
  loop.writeUInt32LE(1, 474);
  const { partitions } = await readLayout(async (_, length) => loop.subarray(0, length));
  assert.ok(partitions.length <= 4 + 128);
});
