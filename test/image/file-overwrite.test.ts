/** A restore to a file refuses, replaces and keeps existing files. */
import { strict as assert } from 'node:assert';
import { closeSync, existsSync, openSync, unlinkSync } from 'node:fs';
import {
  chmod,
  chown,
  link,
  mkdir,
  open,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { createServer } from 'node:net';
import { type TestContext, test } from 'node:test';
import { openTarget } from '../../src/image/open-target.ts';
import { publishFile } from '../../src/image/publish.ts';
import type { ImageTarget } from '../../src/image/target.ts';
import { getAttribute, setAttribute } from '../../src/native/index.ts';
import { needsLoop, run, Scratch } from '../support/loop.ts';
import { arrived, assertFails, assertSameBytes, KiB, MiB, volumeOf } from './blocks.ts';

const blockSize = 64 * KiB;
const geometry = { volumeSize: MiB, blockSize };

type ListName = Parameters<typeof getAttribute>[1];

/** The access control list of a file; empty where it has none. */
function listOf(path: string): string {
  const fd = openSync(path, 'r');
  try {
    return getAttribute(fd, 'system.posix_acl_access' as ListName);
  } finally {
    closeSync(fd);
  }
}

/** Sets a list that lets user 99 read within the mask. False where the file system has none; skips the test. */
function setList(
  t: TestContext,
  path: string,
  kind: 'access' | 'default',
  { group, mask, others }: Record<'group' | 'mask' | 'others', number>,
): boolean {
  const entry = (tag: number, permissions: number, id = 0) =>
    String.fromCharCode(tag, 0, permissions, 0, id, 0, 0, 0);
  const entries = [entry(1, 6), entry(2, 4, 99), entry(4, group), entry(16, mask), entry(32, others)];
  const fd = openSync(path, 'r');
  try {
    setAttribute(fd, `system.posix_acl_${kind}` as ListName, `\x02\0\0\0${entries.join('')}`);
    return true;
  } catch (error) {
    if ((error as { code?: string }).code !== 'ENOTSUP') throw error;
    t.skip('the file system has no access control lists');
    return false;
  } finally {
    closeSync(fd);
  }
}

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

test('--force keeps the access control list of a file, and gives its group no more', async (t) => {
  const scratch = await Scratch.for(t);
  const path = scratch.path('disk.img');
  await writeFile(path, 'mine', { mode: 0o600 });
  if (!setList(t, path, 'access', { group: 0, mask: 4, others: 0 })) return;
  const list = listOf(path);
  assert.equal((await stat(path)).mode & 0o777, 0o640);
  await restore(path, { force: true });
  assert.equal((await stat(path)).mode & 0o777, 0o640);
  assert.equal(listOf(path), list);
});

test('--force gives a file without an access control list none of its directory', async (t) => {
  const scratch = await Scratch.for(t);
  const path = scratch.path('disk.img');
  await writeFile(path, 'mine');
  await chmod(path, 0o640);
  if (!setList(t, scratch.directory, 'default', { group: 0, mask: 4, others: 0 })) return;
  await restore(path, { force: true });
  assert.equal((await stat(path)).mode & 0o777, 0o640);
  assert.equal(listOf(path), '');
});

test('a new file is no more open than the default access control list of its directory', async (t) => {
  const scratch = await Scratch.for(t);
  if (!setList(t, scratch.directory, 'default', { group: 0, mask: 0, others: 0 })) return;
  await restore(scratch.path('disk.img'));
  assert.equal((await stat(scratch.path('disk.img'))).mode & 0o777, 0o600);
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

test('a file that appears during the restore is not overwritten, though it has the inode number of one that may be', async (t) => {
  const scratch = await Scratch.for(t);
  const path = scratch.path('disk.img');
  await writeFile(path, 'mine');
  const target = await begin(path, { force: true });
  await rm(path);
  await writeFile(path, 'theirs');
  await assertFails(target.commit(), 'TARGET_EXISTS', /in the meantime/);
  await target.abandon({ keepForResume: true });
  assert.equal(await readFile(path, 'utf8'), 'theirs');
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

test('a file whose old name a second run removes first is published', async (t) => {
  const scratch = await Scratch.for(t);
  const partial = scratch.path('disk.img.partial');
  const file = scratch.path('disk.img');
  await writeFile(partial, 'whole');
  const publishing = publishFile(file, partial, file, { replace: false });
  // Once the file has both names, and before this run goes on.
  while (!existsSync(file));
  unlinkSync(partial);
  await publishing;
  assert.equal(await readFile(file, 'utf8'), 'whole');
});

test('one of two runs that start at the same moment is refused', async (t) => {
  const scratch = await Scratch.for(t);
  for (let round = 0; round < 20; round++) {
    const path = scratch.path(`disk-${round}.img`);
    if (round % 2 === 1) await (await begin(path)).abandon({ keepForResume: true });
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

test('the partial file of an earlier run is replaced, whatever is in it by now', async (t) => {
  const scratch = await Scratch.for(t);
  const path = scratch.path('disk.img');
  await (await begin(path)).abandon({ keepForResume: true });
  const file = await open(`${path}.partial`, 'r+');
  await file.write(Buffer.alloc(2 * MiB, 0xff));
  await file.close();
  await restore(path);
  assertSameBytes(await readFile(path), restored);
  // The mark of a partial file is gone, so that no copy or download of the image carries it.
  assert.equal(await run('getfattr', '--dump', path).catch(() => ''), '');
});

test('a partial file that this tool did not make for this user is refused and unchanged', async (t) => {
  const scratch = await Scratch.for(t);
  const changes: Record<string, (partial: string, copy: string) => Promise<unknown>> = {
    'another program': (partial) => writeFile(partial, 'theirs'),
    'another program, empty': (partial) => writeFile(partial, ''),
    'a copy with all attributes': async (partial, copy) => {
      await (await begin(copy)).abandon({ keepForResume: true });
      await run('cp', '--archive', `${copy}.partial`, partial);
    },
    'a second name': async (partial, copy) => {
      await (await begin(copy)).abandon({ keepForResume: true });
      await link(`${copy}.partial`, partial);
    },
    ...(process.geteuid?.() === 0 && {
      'another user': async (partial: string) => {
        await (await begin(partial.slice(0, -'.partial'.length))).abandon({ keepForResume: true });
        await chown(partial, 65534, 65534);
      },
    }),
  };
  for (const [name, change] of Object.entries(changes)) {
    const path = scratch.path(`${name}.img`);
    await change(`${path}.partial`, scratch.path(`${name}-copy.img`));
    const before = [await readFile(`${path}.partial`), (await stat(`${path}.partial`)).ctimeMs] as const;
    const target = await openTarget(path);
    const refusal = target.checkOverwrite({ force: true, resuming: false });
    const error = await assertFails(refusal, 'PARTIAL_FOREIGN', /\.partial is a file (of another|with a)/);
    assert.equal(error.class, 'refused');
    await target.abandon({ keepForResume: false });
    assert.deepEqual(
      [await readFile(`${path}.partial`), (await stat(`${path}.partial`)).ctimeMs],
      before,
      name,
    );
  }
});

test(
  'a file that appears meanwhile decides neither owner nor permissions of the image',
  needsLoop,
  async (t) => {
    const scratch = await Scratch.for(t);
    const path = scratch.path('disk.img');
    const umask = process.umask(0o077);
    t.after(() => process.umask(umask));
    const target = await begin(path);
    await writeFile(path, 'theirs');
    await chown(path, 65534, 65534);
    await chmod(path, 0o666);
    await assertFails(target.commit(), 'TARGET_EXISTS');
    await target.abandon({ keepForResume: true });
    const { uid, mode } = await stat(`${path}.partial`);
    assert.deepEqual([uid, mode & 0o777], [0, 0o600]);
    assert.equal(await readFile(path, 'utf8'), 'theirs');
  },
);

test('a commit that fails gives the partial file back its owner and permissions', needsLoop, async (t) => {
  const scratch = await Scratch.for(t);
  const path = scratch.path('disk.img');
  await writeFile(path, 'theirs');
  await chown(path, 65534, 65534);
  await chmod(path, 0o644);
  const target = await begin(path, { force: true });
  await writeFile(scratch.path('another'), 'theirs again');
  await rename(scratch.path('another'), path);
  await assertFails(target.commit(), 'TARGET_EXISTS', /in the meantime/);
  await target.abandon({ keepForResume: true });
  const { uid, gid, mode } = await stat(`${path}.partial`);
  assert.deepEqual([uid, gid, mode & 0o777], [0, 0, 0o600]);
  await restore(path, { force: true });
  assertSameBytes(await readFile(path), restored);
});

test(
  'a partial file whose commit was killed has the owner of the file that it replaces, and is resumed',
  needsLoop,
  async (t) => {
    const scratch = await Scratch.for(t);
    const path = scratch.path('disk.img');
    await writeFile(path, 'theirs');
    await chown(path, 65534, 65534);
    const target = await begin(path, { force: true });
    await target.writeBlocks([arrived(3, blockSize), arrived(0, blockSize)]);
    const instance = await target.resumable?.inode();
    const committing = await target.resumable?.commitStamp();
    await target.close();
    const resume = async (options: { instance?: string | undefined; committing?: string | undefined }) => {
      await run('setfattr', '--remove', 'user.coldsnap.partial', `${path}.partial`).catch(() => '');
      await chown(`${path}.partial`, 65534, 65534);
      await chmod(`${path}.partial`, 0o644);
      const again = await openTarget(path);
      await again.checkOverwrite({ force: true, resuming: true });
      try {
        await again.prepare(geometry, { resume: true, ...options });
        return again;
      } catch (error) {
        await again.abandon({ keepForResume: true });
        throw error;
      }
    };
    for (const options of [{ instance }, { instance: '1', committing }, { committing }])
      await assertFails(resume(options), 'RESUME_MISMATCH', /is another file|belongs to another user/);
    const again = await resume({ instance, committing });
    const owner = async () => {
      const { uid, gid, mode } = await stat(`${path}.partial`);
      return [uid, gid, mode & 0o777];
    };
    assert.deepEqual(await owner(), [65534, 65534, 0o644], 'a dry run goes this far and changes nothing');
    await again.sync();
    assert.deepEqual(await owner(), [0, 0, 0o600]);
    await again.commit();
    await again.close();
    assertSameBytes(await readFile(path), restored);
    assert.equal((await stat(path)).uid, 65534);
  },
);

test('an aborted restore changes no file any more', async (t) => {
  const scratch = await Scratch.for(t);
  const path = scratch.path('disk.img');
  await writeFile(path, 'mine');
  await (await begin(path, { force: true })).abandon({ keepForResume: true });
  const early = new AbortController();
  const unprepared = await openTarget(path, { signal: early.signal });
  await unprepared.checkOverwrite({ force: true, resuming: false });
  const { ino } = await stat(`${path}.partial`);
  early.abort();
  await assertFails(unprepared.prepare(geometry, { resume: false }), 'ABORTED');
  await unprepared.abandon({ keepForResume: true });
  assert.equal((await stat(`${path}.partial`)).ino, ino);

  const late = new AbortController();
  const target = await openTarget(path, { signal: late.signal });
  await target.checkOverwrite({ force: true, resuming: false });
  await target.prepare(geometry, { resume: false });
  late.abort();
  await assertFails(target.writeBlocks([arrived(0, blockSize)]), 'ABORTED');
  await assertFails(target.commit(), 'ABORTED');
  await target.abandon({ keepForResume: true });
  assert.equal(await readFile(path, 'utf8'), 'mine');
  assertSameBytes(await readFile(`${path}.partial`), Buffer.alloc(MiB));
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
