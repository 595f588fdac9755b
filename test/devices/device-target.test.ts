/** Restores to real block devices: loop devices over files whose bytes are then looked at. */
import { strict as assert } from 'node:assert';
import { open, readFile, symlink, writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { openTarget } from '../../src/image/open-target.ts';
import {
  aligned,
  arrived,
  assertFails,
  assertSameBytes,
  damaged,
  KiB,
  MiB,
  restore,
  sha256Of,
  volumeOf,
} from '../image/blocks.ts';
import { needsLoop, run, Scratch } from '../support/loop.ts';

const blockSize = 512 * KiB;
const used = 0xff;

async function bytesAt(path: string, offset: number, length: number): Promise<Buffer> {
  const file = await open(path, 'r');
  try {
    const { buffer } = await file.read(Buffer.alloc(length), 0, length, offset);
    return buffer;
  } finally {
    await file.close();
  }
}

test(
  'a restore to a used device leaves exactly the volume, zeros included, and no byte after it changed',
  needsLoop,
  async (t) => {
    const scratch = await Scratch.for(t);
    const { device, backing } = await scratch.loop({ bytes: 8 * MiB, fill: used });
    const volumeSize = 5 * MiB;
    const blocks = [
      arrived(9, blockSize),
      arrived(0, blockSize),
      arrived(4, blockSize, 0),
      arrived(2, blockSize),
    ];

    const target = await openTarget(device);
    await target.checkOverwrite({ force: true, resuming: false });
    await restore(target, blocks, volumeSize, blockSize);

    const expected = Buffer.concat([volumeOf(blocks, volumeSize), Buffer.alloc(3 * MiB, used)]);
    assertSameBytes(await readFile(backing), expected);
  },
);

test('the start and the end read as zeros until commit writes their data', needsLoop, async (t) => {
  const scratch = await Scratch.for(t);
  const { device, backing } = await scratch.loop({ bytes: 5 * MiB, fill: used });
  const target = await openTarget(device);
  await target.checkOverwrite({ force: true, resuming: false });
  await target.prepare({ volumeSize: 4 * MiB, blockSize }, { resume: false });
  const staged = Buffer.concat([
    Buffer.alloc(2 * MiB),
    Buffer.alloc(MiB, used),
    Buffer.alloc(MiB),
    Buffer.alloc(MiB, used),
  ]);
  assertSameBytes(await readFile(backing), staged);

  const blocks = [0, 3, 4, 6, 7].map((index) => arrived(index, blockSize));
  const volume = volumeOf(blocks, 4 * MiB);
  volume.fill(used, 5 * blockSize, 6 * blockSize);
  const outcomes = ['held', 'held', 'written', 'held', 'held'];
  assert.deepEqual(await target.writeBlocks(blocks), outcomes);
  for (const { data } of blocks) data.fill(0xaa); // The buffers go back to the pool and are used again.
  await target.sync();
  volume.copy(staged, 4 * blockSize, 4 * blockSize, 5 * blockSize);
  assertSameBytes(await readFile(backing), staged);

  await target.commit();
  await target.close();
  assertSameBytes(await readFile(backing), Buffer.concat([volume, Buffer.alloc(MiB, used)]));
});

test('a device whose snapshot has no block 0, or a zero one, starts with zeros', needsLoop, async (t) => {
  const scratch = await Scratch.for(t);
  for (const blocks of [[arrived(1, blockSize)], [arrived(0, blockSize, 0), arrived(1, blockSize)]]) {
    const { device, backing } = await scratch.loop({ bytes: 2 * MiB, fill: used });
    const target = await openTarget(device);
    await target.checkOverwrite({ force: true, resuming: false });
    await restore(target, blocks, 2 * MiB, blockSize);
    assertSameBytes(await readFile(backing), volumeOf(blocks, 2 * MiB));
  }
});

test('an abandoned restore keeps the first block of a device zero', needsLoop, async (t) => {
  const scratch = await Scratch.for(t);
  const { device, backing } = await scratch.loop({ bytes: 4 * MiB, fill: used });
  const target = await openTarget(device);
  await target.checkOverwrite({ force: true, resuming: false });
  await target.prepare({ volumeSize: 4 * MiB, blockSize }, { resume: false });
  await target.writeBlocks([arrived(0, blockSize), arrived(1, blockSize)]);
  await target.abandon({ keepForResume: true });
  assertSameBytes(await bytesAt(backing, 0, 2 * MiB), Buffer.alloc(2 * MiB));
  await assertFails(target.writeBlocks([arrived(4, blockSize)]), 'CLOSED');
  assertSameBytes(await bytesAt(backing, 4 * blockSize, blockSize), Buffer.alloc(blockSize, used));
});

test(
  'blocks of 512 bytes work, and the first 2 MiB and the last are staged together',
  needsLoop,
  async (t) => {
    const scratch = await Scratch.for(t);
    for (const sectorSize of [512, 4096]) {
      const { device, backing } = await scratch.loop({ bytes: 5 * MiB, fill: used, sectorSize });
      const blocks = [0, 1, 3, 4095, 4096, 4100, 6143, 6144, 8191].map((index) => arrived(index, 512));
      const target = await openTarget(device);
      await target.checkOverwrite({ force: true, resuming: false });
      await target.prepare({ volumeSize: 4 * MiB, blockSize: 512 }, { resume: false });
      await target.zero(2 * MiB, MiB);
      const outcomes = await target.writeBlocks(blocks);
      const [held, written] = ['held', 'written'];
      assert.deepEqual(outcomes, [held, held, held, held, written, written, written, held, held]);
      assertSameBytes(await bytesAt(backing, 0, blockSize), Buffer.alloc(blockSize));
      await target.commit();
      await target.close();
      const expected = Buffer.concat([volumeOf(blocks, 4 * MiB), Buffer.alloc(MiB, used)]);
      assertSameBytes(await readFile(backing), expected);
    }
  },
);

test('a device with sectors of 4 KiB is restored exactly', needsLoop, async (t) => {
  const scratch = await Scratch.for(t);
  const { device, backing } = await scratch.loop({ bytes: 4 * MiB, fill: used, sectorSize: 4096 });
  for (const size of [blockSize, 4096, (1536 * KiB) / 3]) {
    const blocks = [arrived(0, size, 5), arrived(3, size, 6), arrived(2, size, 0)];
    const target = await openTarget(device);
    await target.checkOverwrite({ force: true, resuming: false });
    await restore(target, blocks, 3 * MiB, size);
    assertSameBytes(
      await readFile(backing),
      Buffer.concat([volumeOf(blocks, 3 * MiB), Buffer.alloc(MiB, used)]),
    );
  }
});

test('a block with a wrong checksum is neither written nor staged', needsLoop, async (t) => {
  const scratch = await Scratch.for(t);
  const { device, backing } = await scratch.loop({ bytes: 4 * MiB, fill: used });
  const target = await openTarget(device);
  await target.checkOverwrite({ force: true, resuming: false });
  await target.prepare({ volumeSize: 4 * MiB, blockSize }, { resume: false });
  const outcomes = await target.writeBlocks([
    damaged(4, blockSize),
    arrived(5, blockSize),
    damaged(0, blockSize),
  ]);
  assert.deepEqual(outcomes, ['mismatch', 'written', 'mismatch']);
  assertSameBytes(await bytesAt(backing, 4 * blockSize, blockSize), Buffer.alloc(blockSize, used));
  await target.commit();
  await target.close();
  assertSameBytes(await bytesAt(backing, 0, blockSize), Buffer.alloc(blockSize));
});

test('buffers that direct I/O refuses are written through the cache', needsLoop, async (t) => {
  const scratch = await Scratch.for(t);
  const { device, backing } = await scratch.loop({ bytes: 2 * MiB });
  const odd = arrived(1, blockSize);
  const data = new Uint8Array(blockSize + 1).subarray(1);
  data.set(odd.data);
  const target = await openTarget(device);
  await target.checkOverwrite({ force: false, resuming: false });
  await restore(target, [{ ...odd, data }], 2 * MiB, blockSize);
  assertSameBytes(await readFile(backing), volumeOf([odd], 2 * MiB));
});

test('nothing may be written past the end of the volume', needsLoop, async (t) => {
  const scratch = await Scratch.for(t);
  const { device, backing } = await scratch.loop({ bytes: 5 * MiB, fill: used });
  const target = await openTarget(device);
  await target.checkOverwrite({ force: true, resuming: false });
  await assertFails(target.prepare({ volumeSize: MiB + 1, blockSize }, { resume: false }), 'BAD_GEOMETRY');
  assertSameBytes(await bytesAt(backing, 0, MiB), Buffer.alloc(MiB, used));
  await target.prepare({ volumeSize: 4 * MiB, blockSize }, { resume: false });
  await assertFails(target.writeBlocks([arrived(4, blockSize), arrived(8, blockSize)]), 'OUTSIDE_VOLUME');
  await assertFails(target.zero(4 * blockSize, 4 * MiB), 'OUTSIDE_VOLUME');
  await target.commit();
  await target.close();
  assertSameBytes(await bytesAt(backing, 2 * MiB, MiB), Buffer.alloc(MiB, used));
  assertSameBytes(await bytesAt(backing, 4 * MiB, MiB), Buffer.alloc(MiB, used));
});

test('follows a symbolic link to a device', needsLoop, async (t) => {
  const scratch = await Scratch.for(t);
  const { device, backing } = await scratch.loop({ bytes: 2 * MiB });
  await symlink(device, scratch.path('by-id'));
  const target = await openTarget(scratch.path('by-id'));
  assert.equal(target.resumable?.stagesHead, true);
  assert.equal(target.path, scratch.path('by-id'));
  await target.checkOverwrite({ force: false, resuming: false });
  await restore(target, [arrived(3, blockSize)], 2 * MiB, blockSize);
  assertSameBytes(await readFile(backing), volumeOf([arrived(3, blockSize)], 2 * MiB));
});

test('a restore resumes without force and without rewriting what is done', needsLoop, async (t) => {
  const scratch = await Scratch.for(t);
  const { device, backing } = await scratch.loop({ bytes: 4 * MiB, fill: used });
  const geometry = { volumeSize: 4 * MiB, blockSize };
  const first = await openTarget(device);
  await first.checkOverwrite({ force: true, resuming: false });
  await first.prepare(geometry, { resume: false });
  await first.writeBlocks([arrived(0, blockSize), arrived(4, blockSize)]);
  await first.sync();
  await first.abandon({ keepForResume: true });

  const second = await openTarget(device);
  assert.deepEqual(second.resumable?.journal, first.resumable?.journal);
  await second.checkOverwrite({ force: false, resuming: true });
  await second.prepare(geometry, { resume: true });
  const [proof] = await second.resumable!.readBlocks([{ data: aligned(blockSize), offset: 4 * blockSize }], {
    pastCache: true,
  });
  assert.deepEqual(Buffer.from(proof!.digest), arrived(4, blockSize).digest);
  await second.writeBlocks([arrived(0, blockSize), arrived(5, blockSize)]);

  await second.commit();
  await second.close();
  const blocks = [0, 4, 5].map((index) => arrived(index, blockSize));
  assertSameBytes(await readFile(backing), volumeOf(blocks, 4 * MiB));
});

test('an interrupted commit is resumed, unless another program has written since', needsLoop, async (t) => {
  const scratch = await Scratch.for(t);
  const { device } = await scratch.loop({ bytes: 4 * MiB });
  const geometry = { volumeSize: 4 * MiB, blockSize };
  const blocks = [0, 4, 5].map((index) => arrived(index, blockSize));
  const first = await openTarget(device);
  await first.prepare(geometry, { resume: false });
  await first.writeBlocks(blocks);
  const mark = await first.resumable!.commitStamp();
  await first.abandon({ keepForResume: true });
  const write = (offset: number, length: number) =>
    run(
      'dd',
      'if=/dev/urandom',
      `of=${device}`,
      `bs=${length}`,
      `seek=${offset / length}`,
      'count=1',
      'oflag=direct',
    );
  await write(0, blockSize / 2); // as a torn first write of the commit would

  const second = await openTarget(device);
  await second.prepare(geometry, { resume: true, committing: mark });
  await second.abandon({ keepForResume: true });
  await write(4 * blockSize, blockSize);
  const third = await openTarget(device);
  for (const committing of [mark, '', undefined, 'another boot 1']) {
    await assertFails(third.prepare(geometry, { resume: true, committing }), 'RESUME_MISMATCH');
  }
  await third.abandon({ keepForResume: true });
});

test('does not resume on a device that is in other use since', needsLoop, async (t) => {
  const scratch = await Scratch.for(t);
  const { device, backing } = await scratch.loop({ bytes: 2 * MiB });
  await run('mkfs.ext4', '-q', device);
  const before = sha256Of(await readFile(backing));
  const target = await openTarget(device);
  await target.checkOverwrite({ force: false, resuming: true });
  await assertFails(target.prepare({ volumeSize: 2 * MiB, blockSize }, { resume: true }), 'RESUME_MISMATCH');
  await assertFails(target.checkOverwrite({ force: false, resuming: false }), 'TARGET_NOT_BLANK');
  await target.abandon({ keepForResume: false });
  assert.deepEqual(sha256Of(await readFile(backing)), before);
});

test(
  'the journal of a device is in the state directory, named by the identity of the device',
  needsLoop,
  async (t) => {
    const scratch = await Scratch.for(t);
    const [one, other] = [await scratch.loop({ bytes: 2 * MiB }), await scratch.loop({ bytes: 2 * MiB })];
    const state = process.env.STATE_DIRECTORY;
    process.env.STATE_DIRECTORY = scratch.path('state');
    t.after(() => {
      if (state === undefined) delete process.env.STATE_DIRECTORY;
      else process.env.STATE_DIRECTORY = state;
    });
    const targets = [await openTarget(one.device), await openTarget(other.device)];
    for (const target of targets) await target.abandon({ keepForResume: false });
    const [first, second] = targets.map(({ resumable }) => resumable!.journal);
    assert.ok(first!.path.startsWith(scratch.path('state/')));
    assert.equal(first!.identity, `loop:${one.backing}:0:${2 * MiB}`);
    assert.notEqual(first!.identity, second!.identity);
    assert.notEqual(first!.path, second!.path);
  },
);

test('a device that fails to store the data fails the restore', needsLoop, async (t) => {
  const scratch = await Scratch.for(t);
  // The file behind the device cannot grow, so the device fails like a disk with bad sectors.
  const directory = await scratch.tmpfs(4 * MiB);
  const { device } = await scratch.loop({ bytes: 8 * MiB, directory });
  const target = await openTarget(device);
  await target.checkOverwrite({ force: false, resuming: false });
  await target.prepare({ volumeSize: 8 * MiB, blockSize }, { resume: false });
  const writing = async () => {
    for (let index = 4; index < 14; index++) await target.writeBlocks([arrived(index, blockSize)]);
    await target.commit();
    await target.close();
  };
  const error = await writing().then(
    () => assert.fail('it should have failed'),
    (reason: unknown) => reason as { class: string; code: string; message: string },
  );
  assert.equal(error.class, 'local');
  assert.match(error.code, /^(EIO|ENOSPC)$/);
  assert.ok(error.message.includes(device));
  await target.abandon({ keepForResume: false });
});

test('a disk whose partition is open is refused, unharmed, and naming the program', needsLoop, async (t) => {
  const scratch = await Scratch.for(t);
  const backing = scratch.path('disk');
  await writeFile(backing, Buffer.alloc(5 * MiB, used));
  const device = await scratch.attach(backing, ['--partscan']);
  const partition = await open(await scratch.partition(device, 2048, 2048));
  const target = await openTarget(device);
  await target.checkOverwrite({ force: true, resuming: false });
  const prepared = target.prepare({ volumeSize: 5 * MiB, blockSize }, { resume: false });
  const error = await assertFails(prepared, 'DEVICE_IN_USE', /its partition loop\d+p1 is open in .*\d+\)/);
  assert.equal(error.class, 'refused');
  await partition.close();
  assertSameBytes(await readFile(backing), Buffer.alloc(5 * MiB, used));
  await restore(target, [arrived(0, blockSize)], 5 * MiB, blockSize);
  assertSameBytes(await readFile(backing), volumeOf([arrived(0, blockSize)], 5 * MiB));
});

test('a commit while an old partition is open names it, and the image is whole', needsLoop, async (t) => {
  const scratch = await Scratch.for(t);
  const { device, backing } = await scratch.loop({ bytes: 4 * MiB });
  const target = await openTarget(device);
  await target.prepare({ volumeSize: 4 * MiB, blockSize }, { resume: false });
  await target.writeBlocks([arrived(0, blockSize)]);
  const partition = await open(await scratch.partition(device, 2048, 2048));
  const notices = await target.commit();
  await partition.close();
  await target.close();
  assert.deepEqual(
    notices.map(({ code }) => code),
    ['OLD_PARTITIONS'],
  );
  assert.match(notices[0]!.message, /its partition \S+p1 is open in .*blockdev --rereadpt/);
  assertSameBytes(await readFile(backing), volumeOf([arrived(0, blockSize)], 4 * MiB));
});

test('an old label beyond the volume is named with the command that removes it', needsLoop, async (t) => {
  const scratch = await Scratch.for(t);
  const uberblock = Buffer.from([0x0c, 0xb1, 0xba, 0, 0, 0, 0, 0]);
  const size = 8 * MiB;
  for (const [type, offset, magic] of [
    ['md RAID (1.0)', size - 8 * KiB, Buffer.from([0xfc, 0x4e, 0x2b, 0xa9])],
    ['md RAID (0.90)', size - 64 * KiB, Buffer.from([0xfc, 0x4e, 0x2b, 0xa9])],
    ['GPT', size - 512, Buffer.from('EFI PART')],
    ['ZFS', size - 512 * KiB + 132 * KiB, uberblock],
    [undefined, 3 * MiB - 512, Buffer.from('EFI PART')],
  ] as const) {
    const { device, backing } = await scratch.loop({ bytes: size });
    const file = await open(device, 'r+');
    await file.write(magic, 0, magic.length, offset);
    await file.close();
    const refused = await openTarget(device);
    if (type !== undefined)
      await assertFails(refused.checkOverwrite({ force: false, resuming: false }), 'TARGET_NOT_BLANK');
    await refused.abandon({ keepForResume: false });
    const target = await openTarget(device);
    await target.checkOverwrite({ force: true, resuming: false });
    await target.prepare({ volumeSize: 4 * MiB, blockSize }, { resume: false });
    const notices = await target.commit();
    await target.close();
    const messages = notices.map(({ message }) => message);
    assert.equal(messages.length, type === undefined ? 0 : 1);
    if (type === undefined) continue;
    assert.ok(messages[0]!.includes(`an old ${type} signature`), messages[0]);
    assert.ok(messages[0]!.includes(`wipefs --offset ${offset} ${device}`), messages[0]);
    assertSameBytes((await readFile(backing)).subarray(offset, offset + magic.length), magic);
  }
});

test(
  'an aborted restore changes nothing: neither when it is prepared nor when it is committed',
  needsLoop,
  async (t) => {
    const scratch = await Scratch.for(t);
    const { device, backing } = await scratch.loop({ bytes: 5 * MiB, fill: used });
    const before = new AbortController();
    const unprepared = await openTarget(device, { signal: before.signal });
    await unprepared.checkOverwrite({ force: true, resuming: false });
    before.abort();
    const geometry = { volumeSize: 4 * MiB, blockSize };
    await assertFails(unprepared.prepare(geometry, { resume: false }), 'ABORTED');
    await unprepared.abandon({ keepForResume: false });
    assertSameBytes(await readFile(backing), Buffer.alloc(5 * MiB, used));

    const during = new AbortController();
    const target = await openTarget(device, { signal: during.signal });
    await target.checkOverwrite({ force: true, resuming: false });
    await target.prepare(geometry, { resume: false });
    await target.writeBlocks([arrived(0, blockSize), arrived(7, blockSize)]);
    const staged = await readFile(backing);
    during.abort();
    await assertFails(target.zero(4 * blockSize, blockSize), 'ABORTED');
    await assertFails(target.writeBlocks([arrived(4, blockSize)]), 'ABORTED');
    await assertFails(target.commit(), 'ABORTED');
    await target.abandon({ keepForResume: false });
    assertSameBytes(await readFile(backing), staged);
  },
);
