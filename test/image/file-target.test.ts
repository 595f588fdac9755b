/** Restores to regular files. */
import { strict as assert } from 'node:assert';
import { existsSync } from 'node:fs';
import {
  chmod,
  chown,
  link,
  mkdir,
  open,
  readFile,
  stat,
  symlink,
  truncate,
  writeFile,
} from 'node:fs/promises';
import { test } from 'node:test';
import fc from 'fast-check';
import { openTarget } from '../../src/image/open-target.ts';
import type { ImageTarget } from '../../src/image/target.ts';
import { setAttribute } from '../../src/native/index.ts';
import { needsLoop, Scratch } from '../support/loop.ts';
import { aligned, arrived, assertFails, assertSameBytes, damaged, KiB, MiB, volumeOf } from './blocks.ts';

const blockSize = 64 * KiB;
const geometry = { volumeSize: MiB, blockSize };
const isRoot = process.geteuid?.() === 0;

async function begin(path: string, options: { force?: boolean } = {}): Promise<ImageTarget> {
  const target = await openTarget(path);
  await target.checkOverwrite({ force: options.force ?? false, resuming: false });
  await target.prepare(geometry, { resume: false });
  return target;
}

async function restore(path: string, options: { force?: boolean } = {}): Promise<void> {
  const target = await begin(path, options);
  await target.writeBlocks([arrived(3, blockSize), arrived(0, blockSize)]);
  await target.commit();
  await target.close();
}

const restored = volumeOf([arrived(3, blockSize), arrived(0, blockSize)], MiB);

test('any set of listed, zero and missing blocks becomes exactly the volume', async (t) => {
  const scratch = await Scratch.for(t);
  let count = 0;
  const volumes = fc.record({
    size: fc.constantFrom(512, 4096, 64 * KiB),
    seeds: fc.array(fc.constantFrom(undefined, 0, 1, 2, 250), { minLength: 1, maxLength: 40 }),
    batch: fc.integer({ min: 1, max: 5 }),
    backwards: fc.boolean(),
  });
  await fc.assert(
    fc.asyncProperty(volumes, async ({ size, seeds, batch, backwards }) => {
      const path = scratch.path(`volume-${count++}`);
      const volumeSize = size * seeds.length;
      const blocks = seeds.flatMap((seed, i) => (seed === undefined ? [] : [arrived(i, size, seed)]));
      const target = await openTarget(path);
      await target.checkOverwrite({ force: false, resuming: false });
      await target.prepare({ volumeSize, blockSize: size }, { resume: false });
      for (const [i, seed] of seeds.entries()) if (seed === undefined) await target.zero(i * size, size);
      const order = backwards ? blocks.toReversed() : blocks;
      for (let i = 0; i < order.length; i += batch) await target.writeBlocks(order.slice(i, i + batch));
      await target.commit();
      await target.close();
      assertSameBytes(await readFile(path), volumeOf(blocks, volumeSize));
    }),
    { numRuns: 30 },
  );
});

test('zero blocks and gaps stay holes', async (t) => {
  const scratch = await Scratch.for(t);
  const path = scratch.path('disk.img');
  const target = await begin(path);
  assert.deepEqual(await target.writeBlocks([arrived(1, blockSize), arrived(2, blockSize, 0)]), [
    'written',
    'zero',
  ]);
  await target.zero(3 * blockSize, 13 * blockSize);
  await target.commit();
  await target.close();
  const { size, blocks } = await stat(path);
  assert.equal(size, MiB);
  assert.ok(blocks * 512 <= blockSize + 16 * KiB, `${blocks} sectors are allocated for one block of data`);
  assertSameBytes(await readFile(path), volumeOf([arrived(1, blockSize)], MiB));
});

test('an incomplete image has another name and only its owner may read it', async (t) => {
  const scratch = await Scratch.for(t);
  const path = scratch.path('disk.img');
  const target = await begin(path);
  assert.ok(!existsSync(path));
  const partial = await stat(`${path}.partial`);
  assert.equal(partial.size, MiB);
  assert.equal(partial.mode & 0o777, 0o600);
  await target.commit();
  await target.close();
  assert.ok(!existsSync(`${path}.partial`));
  assert.equal((await stat(path)).mode & 0o777, 0o666 & ~process.umask());
});

test('a block with a wrong checksum is not written', async (t) => {
  const scratch = await Scratch.for(t);
  const path = scratch.path('disk.img');
  const target = await begin(path);
  assert.deepEqual(await target.writeBlocks([arrived(0, blockSize), damaged(1, blockSize)]), [
    'written',
    'mismatch',
  ]);
  await target.commit();
  await target.close();
  assertSameBytes(await readFile(path), volumeOf([arrived(0, blockSize)], MiB));
});

test('nothing is written outside the volume', async (t) => {
  const scratch = await Scratch.for(t);
  const target = await begin(scratch.path('disk.img'));
  await assertFails(target.writeBlocks([arrived(16, blockSize)]), 'OUTSIDE_VOLUME');
  await assertFails(target.zero(MiB, blockSize), 'OUTSIDE_VOLUME');
  await target.abandon({ keepForResume: false });
});

test(
  'root replacing a file keeps its owner',
  isRoot ? {} : { skip: 'only root may give files away' },
  async (t) => {
    const scratch = await Scratch.for(t);
    const path = scratch.path('disk.img');
    await writeFile(path, 'theirs');
    await chown(path, 65534, 65534);
    await restore(path, { force: true });
    assert.equal((await stat(path)).uid, 65534);
  },
);

test('a restore resumes, and makes ranges that it did not write read as zeros', async (t) => {
  const scratch = await Scratch.for(t);
  const path = scratch.path('disk.img');
  const first = await begin(path);
  await first.writeBlocks([arrived(3, blockSize), arrived(5, blockSize), arrived(7, blockSize)]);
  await first.sync();
  await first.abandon({ keepForResume: true });
  assert.ok(!existsSync(path));

  const second = await openTarget(path);
  assert.deepEqual(second.resumable?.journal, first.resumable?.journal);
  await second.checkOverwrite({ force: false, resuming: true });
  await second.prepare(geometry, { resume: true });
  const read = { data: aligned(blockSize), offset: 3 * blockSize };
  const [proof] = await second.resumable!.readBlocks([read], { pastCache: true });
  assert.deepEqual(Buffer.from(proof!.digest), arrived(3, blockSize).digest);
  await second.writeBlocks([arrived(0, blockSize), arrived(5, blockSize, 0)]);
  await second.zero(6 * blockSize, 2 * blockSize);
  await second.commit();
  await second.close();
  assertSameBytes(await readFile(path), restored);
});

test('a committed image can be read back until it is closed', async (t) => {
  const scratch = await Scratch.for(t);
  const target = await begin(scratch.path('disk.img'));
  await target.writeBlocks([arrived(3, blockSize)]);
  await target.commit();
  const read = { data: aligned(blockSize), offset: 3 * blockSize };
  const [found] = await target.resumable!.readBlocks([read], { pastCache: true });
  assert.deepEqual(Buffer.from(found!.digest), arrived(3, blockSize).digest);
  await target.close();
  await assertFails(target.resumable!.readBlocks([read], { pastCache: true }), 'CLOSED');
  await target.abandon({ keepForResume: false });
  assert.ok(existsSync(scratch.path('disk.img')));
});

test('a restore that proves to be of something else is started over', async (t) => {
  const scratch = await Scratch.for(t);
  const path = scratch.path('disk.img');
  await (await begin(path)).abandon({ keepForResume: true });
  await writeFile(`${path}.partial`, Buffer.alloc(MiB, 0xff), { flag: 'r+' });
  const target = await openTarget(path);
  await target.checkOverwrite({ force: false, resuming: true });
  await target.prepare(geometry, { resume: true });
  await target.prepare(geometry, { resume: false });
  await target.writeBlocks([arrived(3, blockSize), arrived(0, blockSize)]);
  await target.commit();
  await target.close();
  assertSameBytes(await readFile(path), restored);
});

test('does not resume a partial file that is missing, of another size, or has a second name', async (t) => {
  const scratch = await Scratch.for(t);
  const path = scratch.path('disk.img');
  const resume = async (why: RegExp) => {
    const target = await openTarget(path);
    await target.checkOverwrite({ force: false, resuming: true });
    await assertFails(target.prepare(geometry, { resume: true }), 'RESUME_MISMATCH', why);
    await target.abandon({ keepForResume: false });
  };
  await resume(/is missing/);
  await writeFile(`${path}.partial`, '');
  await truncate(`${path}.partial`, MiB - 1);
  await resume(/has 1048575 bytes and not 1048576/);
  await truncate(`${path}.partial`, MiB);
  await link(`${path}.partial`, scratch.path('other'));
  await resume(/has a second name/);
});

test('does not resume a file of another program that has got the inode of the partial file', async (t) => {
  const scratch = await Scratch.for(t);
  const path = scratch.path('disk.img');
  await (await begin(path)).abandon({ keepForResume: true });
  // As a file is that is made under this name, and by chance gets the inode's number.
  const file = await open(`${path}.partial`, 'r+');
  setAttribute(file.fd, 'user.coldsnap.partial', '');
  await file.close();
  const target = await openTarget(path);
  await target.checkOverwrite({ force: false, resuming: true });
  const why = /made by another program/;
  await assertFails(target.prepare(geometry, { resume: true }), 'RESUME_MISMATCH', why);
  await assertFails(target.checkOverwrite({ force: true, resuming: false }), 'PARTIAL_FOREIGN');
  // A commit that was interrupted has removed the mark.
  const instance = String((await stat(`${path}.partial`)).ino);
  await target.prepare(geometry, { resume: true, committing: '', instance });
  await target.abandon({ keepForResume: true });
});

test('an abandoned restore removes its partial file, unless it may be resumed', async (t) => {
  const scratch = await Scratch.for(t);
  const path = scratch.path('disk.img');
  const first = await begin(path);
  await first.abandon({ keepForResume: true });
  assert.ok(existsSync(`${path}.partial`));
  await assertFails(first.writeBlocks([arrived(0, blockSize)]), 'CLOSED');
  const second = await begin(path);
  await second.abandon({ keepForResume: false });
  assert.ok(!existsSync(`${path}.partial`));
  await second.abandon({ keepForResume: false });
});

test('a finished image stays when the run is abandoned after that', async (t) => {
  const scratch = await Scratch.for(t);
  const path = scratch.path('disk.img');
  const target = await begin(path);
  await target.commit();
  await target.close();
  await target.abandon({ keepForResume: false });
  assert.ok(existsSync(path));
});

test('a symbolic link to a file is followed: the file is replaced, the link stays', async (t) => {
  const scratch = await Scratch.for(t);
  await mkdir(scratch.path('images'));
  const file = scratch.path('images/disk.img');
  await writeFile(file, 'old');
  await symlink(file, scratch.path('link'));
  await assertFails(
    (await openTarget(scratch.path('link'))).checkOverwrite({ force: false, resuming: false }),
    'TARGET_EXISTS',
  );
  const target = await begin(scratch.path('link'), { force: true });
  assert.ok(existsSync(`${file}.partial`));
  await target.writeBlocks([arrived(3, blockSize), arrived(0, blockSize)]);
  await target.commit();
  await target.close();
  assertSameBytes(await readFile(file), restored);
  assertSameBytes(await readFile(scratch.path('link')), restored);
});

test(
  'a directory that may not be written to is refused',
  isRoot ? { skip: 'root may write everywhere' } : {},
  async (t) => {
    const scratch = await Scratch.for(t);
    await chmod(scratch.directory, 0o555);
    scratch.onEnd(() => chmod(scratch.directory, 0o755));
    const error = await assertFails(
      openTarget(scratch.path('disk.img')),
      'EACCES',
      /cannot create files in .*: permission denied/,
    );
    assert.equal(error.class, 'local');
    assert.ok(error.hint);
  },
);

test(
  'a full disk is reported with the bytes written, and the restore can be resumed',
  needsLoop,
  async (t) => {
    const scratch = await Scratch.for(t);
    const point = await scratch.tmpfs(MiB / 2);
    const path = `${point}/disk.img`;
    const target = await begin(path);
    const writing = async () => {
      for (let index = 0; index < 16; index++) await target.writeBlocks([arrived(index, blockSize)]);
    };
    const error = await assertFails(
      writing(),
      'ENOSPC',
      /no space left on the file system of .*disk\.img after writing \d+ bytes \(\d+ KiB\)/,
    );
    assert.equal(error.class, 'local');
    assert.ok(error.hint);
    await target.abandon({ keepForResume: true });
    assert.ok(existsSync(`${path}.partial`));
  },
);

test('works on a file system without direct I/O or hard links', needsLoop, async (t) => {
  const scratch = await Scratch.for(t);
  await restore(`${await scratch.tmpfs(4 * MiB)}/disk.img`);
});

for (const size of [512 * KiB, 2 * MiB]) {
  test(`a partial file that becomes ${size} bytes long meanwhile does not become the target`, async (t) => {
    const scratch = await Scratch.for(t);
    const path = scratch.path('resized.img');
    const target = await openTarget(path);
    await target.prepare({ volumeSize: MiB, blockSize: 64 * KiB }, { resume: false });
    await target.writeBlocks([arrived(0, 64 * KiB)]);
    await truncate(`${path}.partial`, size);
    const error = await assertFails(target.sync(), 'PARTIAL_REPLACED', /another size/);
    assert.equal(error.class, 'local');
    await target.abandon({ keepForResume: false });
  });
}
