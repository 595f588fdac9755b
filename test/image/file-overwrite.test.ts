/** A restore to a file refuses, replaces and keeps existing files. */
import { strict as assert } from 'node:assert';
import { existsSync } from 'node:fs';
import { chmod, mkdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { openTarget } from '../../src/image/open-target.ts';
import type { ImageTarget } from '../../src/image/target.ts';
import { needsLoop, run, Scratch } from '../support/loop.ts';
import { arrived, assertFails, assertSameBytes, KiB, MiB, volumeOf } from './blocks.ts';

const blockSize = 64 * KiB;
const geometry = { volumeSize: MiB, blockSize };

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

test('an existing file is refused and unchanged', async (t) => {
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
  await target.close();
  assertSameBytes(await readFile(path), restored);
  assert.equal((await stat(path)).mode & 0o777, 0o640);
});

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
  await first.close();
  assertSameBytes(await readFile(path), restored);
});

test('one of two runs that start at the same moment is refused', async (t) => {
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

test('a stale partial file is replaced, whatever is in it', async (t) => {
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

test('a run that is refused before it starts keeps the partial file of another', async (t) => {
  const scratch = await Scratch.for(t);
  const path = scratch.path('disk.img');
  await (await begin(path)).abandon({ keepForResume: true });
  const target = await openTarget(path);
  await target.checkOverwrite({ force: false, resuming: true });
  await target.abandon({ keepForResume: false });
  assert.ok(existsSync(`${path}.partial`));
});

test('a target that cannot hold an image is refused with a reason, and nothing is created', async (t) => {
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

test('a read-only file system is refused', needsLoop, async (t) => {
  const scratch = await Scratch.for(t);
  const point = await scratch.mount('tmpfs', ['-t', 'tmpfs', '-o', 'ro']);
  await assertFails(openTarget(`${point}/disk.img`), 'EROFS', /read-only file system/);
});
