/** Reading files and devices that are to be uploaded. */
import { strict as assert } from 'node:assert';
import { createHash, randomBytes } from 'node:crypto';
import {
  chmod,
  mkdir,
  open,
  readFile,
  rename,
  stat,
  truncate,
  unlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { test } from 'node:test';
import { openSource } from '../../src/image/open-source.ts';
import { stateDirectory } from '../../src/image/state-files.ts';
import { needsLoop, run, Scratch } from '../support/loop.ts';
import { aligned, assertFails, assertSameBytes, KiB, MiB, readAll, sha256Of } from './blocks.ts';

const blockSize = 64 * KiB;
const isRoot = process.geteuid?.() === 0;

function padded(image: Buffer, size = blockSize): Buffer {
  return Buffer.concat([image, Buffer.alloc(Math.ceil(image.length / size) * size - image.length)]);
}

test('a file is read exactly, and its last block is filled with zeros', async (t) => {
  const scratch = await Scratch.for(t);
  const path = scratch.path('disk.img');
  const image = randomBytes(5 * blockSize + 777);
  image.fill(0, blockSize, 2 * blockSize);
  await writeFile(path, image);
  const source = await openSource(path);
  assert.equal(source.label, path);
  assert.equal(source.sizeBytes, image.length);
  assertSameBytes(await readAll(source, 6 * blockSize, blockSize), padded(image));
  const [last, beyond] = await source.readBlocks([
    { data: aligned(blockSize), offset: 5 * blockSize },
    { data: aligned(blockSize), offset: 6 * blockSize },
  ]);
  assert.equal(last!.bytesRead, 777);
  assert.equal(beyond!.bytesRead, 0);
  await source.checkUnchanged();
  await source.close();
  await assertFails(source.readBlocks([{ data: aligned(blockSize), offset: 0 }]), 'CLOSED');
});

test('a source that is written to, cut, replaced or removed while it is read is an error', async (t) => {
  const scratch = await Scratch.for(t);
  const path = scratch.path('disk.img');
  const changes: [RegExp, () => Promise<void>][] = [
    [/had 131072 bytes and now has 131073/, () => truncate(path, 2 * blockSize + 1)],
    [/had 131072 bytes and now has 65536/, () => truncate(path, blockSize)],
    [/it was written to/, () => utimes(path, 1, 1)],
    [/it was removed/, () => unlink(path)],
    [/refers to another file/, () => rename(scratch.path('other'), path)],
  ];
  for (const [message, change] of changes) {
    await writeFile(path, Buffer.alloc(2 * blockSize, 1));
    await writeFile(scratch.path('other'), Buffer.alloc(2 * blockSize, 2));
    const source = await openSource(path);
    await change();
    const error = await assertFails(source.checkUnchanged(), 'SOURCE_CHANGED', message);
    assert.equal(error.sourceFault, true);
    assert.equal(error.class, 'local');
    assert.ok(error.hint);
    await source.close();
  }
});

test('a block that became shorter or longer is an error at once', async (t) => {
  const scratch = await Scratch.for(t);
  const path = scratch.path('disk.img');
  await writeFile(path, Buffer.alloc(2 * blockSize - 100, 1));
  const source = await openSource(path);
  const last = () => source.readBlocks([{ data: aligned(blockSize), offset: blockSize }]);
  const data = Buffer.alloc(blockSize, 1);
  const block = { data, offset: blockSize, digest: createHash('sha256').update(data).digest() };
  const compared = () => source.compareBlocks!([block], aligned(blockSize));
  await truncate(path, 2 * blockSize);
  await assertFails(last(), 'SOURCE_CHANGED', /became longer/);
  await assertFails(compared(), 'SOURCE_CHANGED', /became longer/);
  await truncate(path, blockSize + 5);
  await assertFails(last(), 'SOURCE_CHANGED', /became shorter/);
  await assertFails(compared(), 'SOURCE_CHANGED', /became shorter/);
  const [mismatch] = await source.compareBlocks!(
    [{ ...block, digest: Buffer.alloc(32) }],
    aligned(blockSize),
  );
  assert.equal(mismatch!.outcome, 'mismatch');
  await source.close();
});

test('a journal is beside the source, and its identity is that of the file', async (t) => {
  const scratch = await Scratch.for(t);
  const path = scratch.path('disk.img');
  await writeFile(path, 'one');
  const first = await openSource(path);
  const again = await openSource(path);
  assert.equal(first.journal?.path, `${path}.coldsnap-upload`);
  assert.deepEqual(again.journal, first.journal);
  const { dev, ino } = await stat(path);
  assert.equal(first.journal?.identity, `file:${dev}:${ino}`);
  await utimes(path, 1, 1);
  const touched = await openSource(path);
  assert.deepEqual(touched.journal, first.journal);
  for (const source of [first, again, touched]) await source.close();
});

test('the journal of a source on a read-only file system is in the state directory', needsLoop, async (t) => {
  const scratch = await Scratch.for(t);
  const point = await scratch.tmpfs(MiB);
  await writeFile(`${point}/disk.img`, 'image');
  await run('mount', '-o', 'remount,ro', point);
  const source = await openSource(`${point}/disk.img`, { detectHoles: true });
  assert.ok(source.journal?.path.startsWith(`${stateDirectory()}/`), source.journal?.path);
  assert.match(source.journal?.path ?? '', /disk\.img-[0-9a-f]{16}\.coldsnap-upload$/);
  const runs = [];
  for await (const extent of source.extents(blockSize)) runs.push(extent);
  assert.deepEqual(runs, [{ offset: 0, length: blockSize, kind: 'data' }]);
  await source.close();
});

test('a path that cannot be a source is refused with a reason', async (t) => {
  const scratch = await Scratch.for(t);
  await writeFile(scratch.path('empty'), '');
  await mkdir(scratch.path('directory'));
  const cases = [
    ['', 'SOURCE_NAME_EMPTY', /no name/],
    [scratch.path('missing'), 'SOURCE_MISSING', /missing does not exist/],
    [scratch.path('empty/disk'), 'SOURCE_MISSING', /does not exist/],
    [scratch.path('directory'), 'SOURCE_IS_DIRECTORY', /is a directory/],
    [scratch.path('empty'), 'SOURCE_EMPTY', /is empty/],
    ['/dev/zero', 'SOURCE_NOT_SUPPORTED', /is a character device/],
  ] as const;
  for (const [path, code, message] of cases) {
    const error = await assertFails(openSource(path), code, message);
    assert.equal(error.class, 'usage', path);
    assert.ok(error.hint, `${code} says what to do`);
  }
});

test(
  'a source that may not be read is refused',
  isRoot ? { skip: 'root may read everything' } : {},
  async (t) => {
    const scratch = await Scratch.for(t);
    await writeFile(scratch.path('secret'), 'secret');
    await chmod(scratch.path('secret'), 0);
    const error = await assertFails(
      openSource(scratch.path('secret')),
      'EACCES',
      /could not open .*: permission denied/,
    );
    assert.equal(error.class, 'local');
  },
);

test('a block device is read exactly, whatever its size, also while it is mounted', needsLoop, async (t) => {
  const scratch = await Scratch.for(t);
  for (const bytes of [8 * MiB, 8 * MiB - 512]) {
    const { device, backing } = await scratch.loop({ bytes });
    await run('mkfs.ext4', '-q', device);
    await scratch.mount(device, ['-o', 'ro']);
    const image = await readFile(backing);
    const source = await openSource(device);
    assert.equal(source.label, device);
    assert.equal(source.sizeBytes, bytes);
    assertSameBytes(await readAll(source, 8 * MiB, 512 * KiB), padded(image, 512 * KiB));
    await source.checkUnchanged();
    await source.close();
  }
});

test('the end of a disk is read from the medium, whatever the page cache has', needsLoop, async (t) => {
  const scratch = await Scratch.for(t);
  const sizes = [
    [64 * MiB + 8 * KiB, 512],
    [64 * MiB + 512, 512],
    [64 * MiB + 3 * 512, 512],
    [64 * MiB + 8 * KiB, 4096],
    [512, 512],
  ] as const;
  for (const [bytes, sectorSize] of sizes) {
    const { device, backing } = await scratch.loop({ bytes, sectorSize });
    const last = Math.floor((bytes - 1) / (512 * KiB)) * 512 * KiB;
    // Fills the page cache, which lasts while the device is open.
    const holder = await open(device, 'r');
    await holder.read(Buffer.alloc(512 * KiB), 0, 512 * KiB, last);
    const tail = randomBytes(bytes - last);
    tail[0] = 0;
    const file = await open(backing, 'r+');
    await file.write(tail, 0, tail.length, last);
    await file.close();
    const source = await openSource(device);
    const data = aligned(512 * KiB);
    data.fill(0xee);
    const [block] = await source.readBlocks([{ data, offset: last }]);
    assert.equal(block?.bytesRead, tail.length);
    assertSameBytes(Buffer.from(data), padded(tail, 512 * KiB));
    assert.deepEqual(Buffer.from(block!.digest), Buffer.from(sha256Of(data)));
    await source.close();
    await holder.close();
  }
});

test('a device that changes its size while it is read is an error', needsLoop, async (t) => {
  const scratch = await Scratch.for(t);
  const { device, backing } = await scratch.loop({ bytes: 2 * MiB });
  const source = await openSource(device);
  await truncate(backing, 4 * MiB);
  await run('losetup', '--set-capacity', device);
  await assertFails(source.checkUnchanged(), 'SOURCE_CHANGED', /had 2097152 bytes and now has 4194304/);
  await source.close();
});

test('a device without a medium is refused', needsLoop, async (t) => {
  const scratch = await Scratch.for(t);
  const { device, backing } = await scratch.loop({ bytes: 2 * MiB });
  const file = await open(device, 'r');
  await truncate(backing, 0);
  await run('losetup', '--set-capacity', device);
  await file.close();
  await assertFails(openSource(device), 'SOURCE_NO_MEDIUM', /has no medium/);
});
