/** Restores to real block devices: loop devices over files whose bytes are then looked at. */
import { strict as assert } from 'node:assert';
import { open, readFile, symlink } from 'node:fs/promises';
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

test('block 0 reads as zeros until commit writes its data', needsLoop, async (t) => {
  const scratch = await Scratch.for(t);
  const { device, backing } = await scratch.loop({ bytes: 4 * MiB, fill: used });
  const target = await openTarget(device);
  await target.checkOverwrite({ force: true, resuming: false });
  await target.prepare({ volumeSize: 4 * MiB, blockSize }, { resume: false });
  assertSameBytes(await bytesAt(backing, 0, blockSize), Buffer.alloc(blockSize));
  assertSameBytes(await bytesAt(backing, blockSize, blockSize), Buffer.alloc(blockSize, used));

  const first = arrived(0, blockSize);
  const copy = Buffer.from(first.data);
  assert.deepEqual(await target.writeBlocks([first, arrived(1, blockSize)]), ['held', 'written']);
  first.data.fill(0xaa); // The buffer goes back to the pool and is used again.
  await target.sync();
  assertSameBytes(await bytesAt(backing, 0, blockSize), Buffer.alloc(blockSize));

  await target.commit();
  await target.close();
  assertSameBytes(await bytesAt(backing, 0, blockSize), copy);
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
  const { device, backing } = await scratch.loop({ bytes: 2 * MiB, fill: used });
  const target = await openTarget(device);
  await target.checkOverwrite({ force: true, resuming: false });
  await target.prepare({ volumeSize: 2 * MiB, blockSize }, { resume: false });
  await target.writeBlocks([arrived(0, blockSize), arrived(1, blockSize)]);
  await target.abandon({ keepForResume: true });
  assertSameBytes(await bytesAt(backing, 0, blockSize), Buffer.alloc(blockSize));
  await assertFails(target.writeBlocks([arrived(2, blockSize)]), 'CLOSED');
  assertSameBytes(await bytesAt(backing, 2 * blockSize, blockSize), Buffer.alloc(blockSize, used));
});

test('blocks of 512 bytes work, and the first 512 KiB are staged together', needsLoop, async (t) => {
  const scratch = await Scratch.for(t);
  for (const sectorSize of [512, 4096]) {
    const { device, backing } = await scratch.loop({ bytes: 2 * MiB, fill: used, sectorSize });
    const blocks = [0, 1, 3, 1023, 1024, 1030, 2047].map((index) => arrived(index, 512));
    const target = await openTarget(device);
    await target.checkOverwrite({ force: true, resuming: false });
    await target.prepare({ volumeSize: MiB, blockSize: 512 }, { resume: false });
    await target.zero(blockSize, MiB - blockSize);
    const outcomes = await target.writeBlocks(blocks);
    assert.deepEqual(outcomes, ['held', 'held', 'held', 'held', 'written', 'written', 'written']);
    assertSameBytes(await bytesAt(backing, 0, blockSize), Buffer.alloc(blockSize));
    await target.commit();
    await target.close();
    const expected = Buffer.concat([volumeOf(blocks, MiB), Buffer.alloc(MiB, used)]);
    assertSameBytes(await readFile(backing), expected);
  }
});

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
  const { device, backing } = await scratch.loop({ bytes: 2 * MiB, fill: used });
  const target = await openTarget(device);
  await target.checkOverwrite({ force: true, resuming: false });
  await target.prepare({ volumeSize: 2 * MiB, blockSize }, { resume: false });
  const outcomes = await target.writeBlocks([
    damaged(1, blockSize),
    arrived(2, blockSize),
    damaged(0, blockSize),
  ]);
  assert.deepEqual(outcomes, ['mismatch', 'written', 'mismatch']);
  assertSameBytes(await bytesAt(backing, blockSize, blockSize), Buffer.alloc(blockSize, used));
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
  const { device, backing } = await scratch.loop({ bytes: 2 * MiB, fill: used });
  const target = await openTarget(device);
  await target.checkOverwrite({ force: true, resuming: false });
  await assertFails(target.prepare({ volumeSize: MiB + 1, blockSize }, { resume: false }), 'BAD_GEOMETRY');
  assertSameBytes(await bytesAt(backing, 0, MiB), Buffer.alloc(MiB, used));
  await target.prepare({ volumeSize: MiB, blockSize }, { resume: false });
  await assertFails(target.writeBlocks([arrived(1, blockSize), arrived(2, blockSize)]), 'OUTSIDE_VOLUME');
  await assertFails(target.zero(blockSize, MiB), 'OUTSIDE_VOLUME');
  await target.commit();
  await target.close();
  assertSameBytes(await bytesAt(backing, blockSize, 3 * blockSize), Buffer.alloc(3 * blockSize, used));
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
  const { device, backing } = await scratch.loop({ bytes: 2 * MiB, fill: used });
  const geometry = { volumeSize: 2 * MiB, blockSize };
  const first = await openTarget(device);
  await first.checkOverwrite({ force: true, resuming: false });
  await first.prepare(geometry, { resume: false });
  await first.writeBlocks([arrived(0, blockSize), arrived(1, blockSize)]);
  await first.sync();
  await first.abandon({ keepForResume: true });

  const second = await openTarget(device);
  assert.deepEqual(second.resumable?.journal, first.resumable?.journal);
  await second.checkOverwrite({ force: false, resuming: true });
  await second.prepare(geometry, { resume: true });
  const [proof] = await second.resumable!.readBlocks([{ data: aligned(blockSize), offset: blockSize }], {
    pastCache: true,
  });
  assert.deepEqual(Buffer.from(proof!.digest), arrived(1, blockSize).digest);
  await second.writeBlocks([arrived(0, blockSize), arrived(2, blockSize)]);
  await second.zero(3 * blockSize, blockSize);
  await second.commit();
  await second.close();
  const blocks = [0, 1, 2].map((index) => arrived(index, blockSize));
  assertSameBytes(await readFile(backing), volumeOf(blocks, 2 * MiB));
});

test('an interrupted commit is resumed, unless another program has written since', needsLoop, async (t) => {
  const scratch = await Scratch.for(t);
  const { device } = await scratch.loop({ bytes: 2 * MiB });
  const geometry = { volumeSize: 2 * MiB, blockSize };
  const blocks = [0, 1, 3].map((index) => arrived(index, blockSize));
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
  await write(blockSize, blockSize);
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
  const directory = await scratch.tmpfs(MiB);
  const { device } = await scratch.loop({ bytes: 4 * MiB, directory });
  const target = await openTarget(device);
  await target.checkOverwrite({ force: false, resuming: false });
  await target.prepare({ volumeSize: 4 * MiB, blockSize }, { resume: false });
  const writing = async () => {
    for (let index = 0; index < 8; index++) await target.writeBlocks([arrived(index, blockSize)]);
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
