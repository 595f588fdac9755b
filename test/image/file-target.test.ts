/** Restores to regular files. */
import { strict as assert } from 'node:assert';
import { existsSync } from 'node:fs';
import { chmod, chown, link, mkdir, readFile, stat, symlink, truncate, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { test } from 'node:test';
import fc from 'fast-check';
import { openTarget } from '../../src/image/open-target.ts';
import type { ImageTarget } from '../../src/image/target.ts';
import { needsLoop, run, Scratch } from '../support/loop.ts';
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
  const { size, blocks } = await stat(path);
  assert.equal(size, MiB);
  assert.ok(blocks * 512 <= blockSize + 16 * KiB, `${blocks} sectors are allocated for one block of data`);
  assertSameBytes(await readFile(path), volumeOf([arrived(1, blockSize)], MiB));
});

test('until it is whole, the image has another name and nobody else may read it', async (t) => {
  const scratch = await Scratch.for(t);
  const path = scratch.path('disk.img');
  const target = await begin(path);
  assert.ok(!existsSync(path));
  const partial = await stat(`${path}.partial`);
  assert.equal(partial.size, MiB);
  assert.equal(partial.mode & 0o777, 0o600);
  await target.commit();
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
  assertSameBytes(await readFile(path), volumeOf([arrived(0, blockSize)], MiB));
});

test('nothing is written outside the volume', async (t) => {
  const scratch = await Scratch.for(t);
  const target = await begin(scratch.path('disk.img'));
  await assertFails(target.writeBlocks([arrived(16, blockSize)]), 'OUTSIDE_VOLUME');
  await assertFails(target.zero(MiB, blockSize), 'OUTSIDE_VOLUME');
  await target.abandon({ keepForResume: false });
});

test('an existing file is refused and left alone', async (t) => {
  const scratch = await Scratch.for(t);
  const path = scratch.path('disk.img');
  await writeFile(path, 'mine');
  const target = await openTarget(path);
  for (const resuming of [false, true]) {
    const error = await assertFails(target.checkOverwrite({ force: false, resuming }), 'TARGET_EXISTS');
    assert.equal(error.class, 'refused');
  }
  await target.abandon({ keepForResume: false });
  assert.equal(await readFile(path, 'utf8'), 'mine');
  assert.ok(!existsSync(`${path}.partial`));
});

test('--force replaces a file only at the end, and keeps its permissions', async (t) => {
  const scratch = await Scratch.for(t);
  const path = scratch.path('disk.img');
  await writeFile(path, 'mine');
  await chmod(path, 0o640);
  const target = await begin(path, { force: true });
  await target.writeBlocks([arrived(3, blockSize), arrived(0, blockSize)]);
  assert.equal(await readFile(path, 'utf8'), 'mine');
  await target.commit();
  assertSameBytes(await readFile(path), restored);
  assert.equal((await stat(path)).mode & 0o777, 0o640);
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

test('a file that appears during the restore is not overwritten', async (t) => {
  const scratch = await Scratch.for(t);
  const path = scratch.path('disk.img');
  const target = await begin(path);
  await writeFile(path, 'theirs');
  await assertFails(target.commit(), 'TARGET_EXISTS', /in the meantime/);
  await target.abandon({ keepForResume: true });
  assert.equal(await readFile(path, 'utf8'), 'theirs');
  assert.ok(existsSync(`${path}.partial`));
});

test('a second run into the same target is refused, and does not disturb the first', async (t) => {
  const scratch = await Scratch.for(t);
  const path = scratch.path('disk.img');
  const first = await begin(path);
  await first.writeBlocks([arrived(3, blockSize), arrived(0, blockSize)]);
  const second = await openTarget(path);
  const error = await assertFails(second.checkOverwrite({ force: true, resuming: false }), 'TARGET_BUSY');
  assert.equal(error.class, 'refused');
  await assertFails(second.prepare(geometry, { resume: false }), 'TARGET_BUSY');
  await second.abandon({ keepForResume: false });
  await first.commit();
  assertSameBytes(await readFile(path), restored);
});

test('of two runs that begin at the same moment one is refused', async (t) => {
  const scratch = await Scratch.for(t);
  for (let round = 0; round < 20; round++) {
    const path = scratch.path(`disk-${round}.img`);
    if (round % 2 === 1) await writeFile(`${path}.partial`, 'stale');
    const outcomes = await Promise.allSettled([restore(path), restore(path)]);
    const codes = outcomes.map((outcome) => (outcome.status === 'fulfilled' ? 'ok' : outcome.reason.code));
    assert.ok(codes.includes('ok') || codes.every((code) => code === 'TARGET_BUSY'), codes.join());
    assert.ok(
      codes.some((code) => code === 'TARGET_BUSY' || code === 'TARGET_EXISTS'),
      codes.join(),
    );
    if (codes.includes('ok')) assertSameBytes(await readFile(path), restored);
  }
});

test('what an earlier run has left is started anew, whatever is in it', async (t) => {
  const scratch = await Scratch.for(t);
  const path = scratch.path('disk.img');
  await writeFile(`${path}.partial`, Buffer.alloc(2 * MiB, 0xff));
  await restore(path);
  assertSameBytes(await readFile(path), restored);
});

test('a partial file that is a symbolic link, a directory or a FIFO is refused and not followed', async (t) => {
  const scratch = await Scratch.for(t);
  await writeFile(scratch.path('victim'), 'precious');
  await symlink(scratch.path('victim'), scratch.path('a.img.partial'));
  await mkdir(scratch.path('b.img.partial'));
  await run('mkfifo', scratch.path('c.img.partial'));
  for (const name of ['a.img', 'b.img', 'c.img']) {
    const target = await openTarget(scratch.path(name));
    await assertFails(target.checkOverwrite({ force: true, resuming: false }), 'PARTIAL_FOREIGN');
    await assertFails(target.prepare(geometry, { resume: false }), 'TARGET_BUSY');
    await target.abandon({ keepForResume: false });
  }
  assert.equal(await readFile(scratch.path('victim'), 'utf8'), 'precious');
});

test('a restore goes on with what is there, and makes what it did not write read as zeros', async (t) => {
  const scratch = await Scratch.for(t);
  const path = scratch.path('disk.img');
  const first = await begin(path);
  await first.writeBlocks([arrived(3, blockSize), arrived(5, blockSize), arrived(7, blockSize)]);
  await first.sync();
  await first.abandon({ keepForResume: true });
  assert.ok(!existsSync(path));

  const second = await openTarget(path);
  assert.deepEqual(second.journal, first.journal);
  await second.checkOverwrite({ force: false, resuming: true });
  await second.prepare(geometry, { resume: true });
  const read = { data: aligned(blockSize), offset: 3 * blockSize };
  const [proof] = await second.readBlocks!([read], { pastCache: true });
  assert.deepEqual(Buffer.from(proof!.digest), arrived(3, blockSize).digest);
  await second.writeBlocks([arrived(0, blockSize), arrived(5, blockSize, 0)]);
  await second.zero(6 * blockSize, 2 * blockSize);
  await second.commit();
  assertSameBytes(await readFile(path), restored);
});

test('a restore that proves to be of something else is started over', async (t) => {
  const scratch = await Scratch.for(t);
  const path = scratch.path('disk.img');
  await writeFile(`${path}.partial`, Buffer.alloc(MiB, 0xff));
  const target = await openTarget(path);
  await target.checkOverwrite({ force: false, resuming: true });
  await target.prepare(geometry, { resume: true });
  await target.prepare(geometry, { resume: false });
  await target.writeBlocks([arrived(3, blockSize), arrived(0, blockSize)]);
  await target.commit();
  assertSameBytes(await readFile(path), restored);
});

test('a partial file that is missing, of another size, or that has a second name is not gone on with', async (t) => {
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

test('an abandoned restore leaves nothing behind, unless it is to be gone on with', async (t) => {
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

test('a run that is refused before it began leaves the partial file of another', async (t) => {
  const scratch = await Scratch.for(t);
  const path = scratch.path('disk.img');
  await (await begin(path)).abandon({ keepForResume: true });
  const target = await openTarget(path);
  await target.checkOverwrite({ force: false, resuming: true });
  await target.abandon({ keepForResume: false });
  assert.ok(existsSync(`${path}.partial`));
});

test('a finished image stays when the run is abandoned after that', async (t) => {
  const scratch = await Scratch.for(t);
  const path = scratch.path('disk.img');
  const target = await begin(path);
  await target.commit();
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
  assertSameBytes(await readFile(file), restored);
  assertSameBytes(await readFile(scratch.path('link')), restored);
});

test('what cannot hold an image is refused in a sentence, and nothing is made', async (t) => {
  const scratch = await Scratch.for(t);
  await writeFile(scratch.path('file'), '');
  await symlink(scratch.path('nowhere'), scratch.path('dangling'));
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(scratch.path('socket'), resolve));
  t.after(() => server.close());
  const cases = [
    ['', 'TARGET_NAME_EMPTY', 'usage', /no name/],
    [scratch.directory, 'TARGET_IS_DIRECTORY', 'usage', /is a directory/],
    [
      scratch.path('missing/disk.img'),
      'TARGET_PARENT_MISSING',
      'usage',
      /directory .*missing does not exist/,
    ],
    [scratch.path('missing/'), 'TARGET_PARENT_MISSING', 'usage', /missing\/ does not exist/],
    [scratch.path('file/disk.img'), 'TARGET_PARENT_MISSING', 'usage', /file is not a directory/],
    [
      scratch.path('dangling'),
      'TARGET_DANGLING_SYMLINK',
      'refused',
      /link to .*nowhere, which does not exist/,
    ],
    [scratch.path('socket'), 'TARGET_NOT_SUPPORTED', 'usage', /is a socket/],
    ['/dev/random', 'TARGET_NOT_SUPPORTED', 'usage', /is a character device/],
    ['/dev/ptmx', 'TARGET_IS_TERMINAL', 'usage', /is a terminal/],
  ] as const;
  for (const [path, code, errorClass, message] of cases) {
    const error = await assertFails(openTarget(path), code, message);
    assert.equal(error.class, errorClass, path);
    assert.ok(error.hint, `${code} says what to do`);
  }
  const long = await openTarget(scratch.path('x'.repeat(250)));
  const error = await assertFails(long.checkOverwrite({ force: false, resuming: false }), 'ENAMETOOLONG');
  assert.equal(error.class, 'local');
});

test(
  'a directory that may not be written to is refused',
  isRoot ? { skip: 'root may write everywhere' } : {},
  async (t) => {
    const scratch = await Scratch.for(t);
    await chmod(scratch.directory, 0o555);
    t.after(() => chmod(scratch.directory, 0o755));
    const error = await assertFails(
      openTarget(scratch.path('disk.img')),
      'EACCES',
      /cannot create files in .*: permission denied/,
    );
    assert.equal(error.class, 'local');
    assert.ok(error.hint);
  },
);

test('a read-only file system is refused', needsLoop, async (t) => {
  const scratch = await Scratch.for(t);
  const point = await scratch.mount('tmpfs', ['-t', 'tmpfs', '-o', 'ro']);
  await assertFails(openTarget(`${point}/disk.img`), 'EROFS', /read-only file system/);
});

test('a full disk is said as such, with how far it went, and can be gone on with', needsLoop, async (t) => {
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
});

test('a file system without direct I/O or hard links will do', needsLoop, async (t) => {
  const scratch = await Scratch.for(t);
  await restore(`${await scratch.tmpfs(4 * MiB)}/disk.img`);
});
