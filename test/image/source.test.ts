/** Reading what is to be uploaded. */
import { strict as assert } from 'node:assert';
import { spawn } from 'node:child_process';
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
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { test } from 'node:test';
import fc from 'fast-check';
import { openSource } from '../../src/image/open-source.ts';
import type { ImageSource } from '../../src/image/source.ts';
import type { BlockRead } from '../../src/native/index.ts';
import { needsLoop, run, Scratch } from '../support/loop.ts';
import { aligned, assertFails, assertSameBytes, KiB, MiB, sha256Of } from './blocks.ts';

const blockSize = 64 * KiB;
const isRoot = process.geteuid?.() === 0;

/** Reads all blocks of a source, in batches, and checks what is said of each. */
async function readAll(source: ImageSource, length: number, size = blockSize): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for (let offset = 0; offset < length; offset += 3 * size) {
    const reads: BlockRead[] = [];
    for (let at = offset; at < Math.min(offset + 3 * size, length); at += size) {
      const data = aligned(size);
      data.fill(0xee);
      reads.push({ data, offset: at });
    }
    for (const [i, { digest, zero }] of (await source.readBlocks(reads)).entries()) {
      const { data } = reads[i]!;
      assert.deepEqual(Buffer.from(digest), sha256Of(data));
      assert.equal(
        zero,
        data.every((byte) => byte === 0),
      );
      parts.push(data);
    }
  }
  return Buffer.concat(parts);
}

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
  assert.equal(source.kind, 'file');
  assert.equal(source.sizeBytes, image.length);
  assert.equal(source.sequential, false);
  assertSameBytes(await readAll(source, 6 * blockSize), padded(image));
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
    [/leads to something else/, () => rename(scratch.path('other'), path)],
  ];
  for (const [message, change] of changes) {
    await writeFile(path, Buffer.alloc(2 * blockSize, 1));
    await writeFile(scratch.path('other'), Buffer.alloc(2 * blockSize, 2));
    const source = await openSource(path);
    await change();
    const error = await assertFails(source.checkUnchanged(), 'SOURCE_CHANGED', message);
    assert.equal(error.class, 'local');
    assert.ok(error.hint);
    await source.close();
  }
});

test('a block that is not all there any more, or has more than before, is an error at once', async (t) => {
  const scratch = await Scratch.for(t);
  const path = scratch.path('disk.img');
  await writeFile(path, Buffer.alloc(2 * blockSize - 100, 1));
  const source = await openSource(path);
  const last = () => source.readBlocks([{ data: aligned(blockSize), offset: blockSize }]);
  await truncate(path, 2 * blockSize);
  await assertFails(last(), 'SOURCE_CHANGED', /became longer/);
  await truncate(path, blockSize + 5);
  await assertFails(last(), 'SOURCE_CHANGED', /became shorter/);
  await source.close();
});

test('a journal lies beside the source, and its identity changes with the source', async (t) => {
  const scratch = await Scratch.for(t);
  const path = scratch.path('disk.img');
  await writeFile(path, 'one');
  const first = await openSource(path);
  const again = await openSource(path);
  assert.equal(first.journal?.path, `${path}.coldsnap-upload`);
  assert.deepEqual(again.journal, first.journal);
  const { ino } = await stat(path);
  assert.ok(first.journal?.identity.includes(`:${ino}:3:`));
  await utimes(path, 1, 1);
  const touched = await openSource(path);
  assert.notEqual(touched.journal?.identity, first.journal?.identity);
  for (const source of [first, again, touched]) await source.close();
});

test('what cannot be a source is refused in a sentence', async (t) => {
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

test('a stream is read in order whatever its chunks are, and filled with zeros to the end of the volume', async () => {
  const cases = fc.record({
    chunks: fc.array(fc.integer({ min: 0, max: 5000 }), { maxLength: 20 }),
    size: fc.constantFrom(512, 1000, 4096),
    order: fc.constantFrom(1, -1),
  });
  await fc.assert(
    fc.asyncProperty(cases, async ({ chunks, size, order }) => {
      const image = randomBytes(chunks.reduce((sum, length) => sum + length, 0));
      const parts: Buffer[] = [];
      let at = 0;
      for (const length of chunks) {
        parts.push(image.subarray(at, at + length));
        at += length;
      }
      const volumeSize = (Math.ceil(image.length / size) + 2) * size;
      const source = await openSource(Readable.from(parts, { objectMode: false }), {
        streamSize: volumeSize,
      });
      assert.equal(source.sequential, true);
      assert.equal(source.journal, undefined);
      assert.equal(source.sizeBytes, volumeSize);
      const reads = Array.from({ length: volumeSize / size }, (_, i) => ({
        data: aligned(size),
        offset: i * size,
      }));
      const results = await Promise.all(
        reads.map((_, i) => source.readBlocks([reads.at(order === 1 ? i : -1 - i)!])),
      );
      const last = results.at(order === 1 ? -1 : 0);
      assert.equal(last![0]!.bytesRead, 0);
      const read = Buffer.concat(reads.map(({ data }) => data));
      assertSameBytes(read, Buffer.concat([image, Buffer.alloc(volumeSize - image.length)]));
      await source.checkUnchanged();
      await source.close();
    }),
    { numRuns: 30 },
  );
});

test('a stream with more than the volume holds is an error', async () => {
  const source = await openSource(Readable.from([Buffer.alloc(2000, 1)], { objectMode: false }), {
    streamSize: 1024,
  });
  assert.equal((await readAll(source, 1024, 512)).length, 1024);
  const error = await assertFails(
    source.checkUnchanged(),
    'SOURCE_TOO_LONG',
    /has more than the 1024 bytes \(1 KiB\)/,
  );
  assert.equal(error.class, 'usage');
  await source.close();
});

test('a stream needs a size, and has no holes', async () => {
  await assertFails(openSource(Readable.from([])), 'SOURCE_SIZE_UNKNOWN');
  await assertFails(
    openSource(Readable.from([]), { streamSize: 1024, detectHoles: true }),
    'HOLES_NEED_FILE',
  );
  await assertFails(openSource('-', { streamSize: 1024, holesFromSidecar: 'map' }), 'HOLES_NEED_FILE');
});

test('a stream that fails, or gives text, fails the reading', async () => {
  const broken = new Readable({
    read() {
      this.destroy(new Error('the tape is torn'));
    },
  });
  const source = await openSource(broken, { streamSize: 1024 });
  const reads = [0, 1].map((i) => source.readBlocks([{ data: aligned(512), offset: i * 512 }]));
  const checks = reads.map((read) =>
    assertFails(read, 'STREAM_FAILED', /could not read stream: the tape is torn/),
  );
  await Promise.all(checks);
  await assertFails(source.checkUnchanged(), 'STREAM_FAILED');

  const text = Readable.from(['text']);
  const wrong = await openSource(text, { streamSize: 1024 });
  await assertFails(wrong.readBlocks([{ data: aligned(512), offset: 0 }]), 'SOURCE_NOT_BYTES');
  await wrong.close();

  const cut = new Readable({ read() {} });
  const ended = await openSource(cut, { streamSize: 1024 });
  const reading = assertFails(ended.readBlocks([{ data: aligned(512), offset: 0 }]), 'STREAM_FAILED');
  cut.destroy();
  await reading;
});

test('closing a stream source ends what waits for it', async () => {
  const stream = new Readable({ read() {} });
  const source = await openSource(stream, { streamSize: 1024 });
  const waiting = assertFails(source.readBlocks([{ data: aligned(512), offset: 0 }]), 'CLOSED');
  await source.close();
  await waiting;
  assert.ok(stream.destroyed);
});

test('a block of a stream cannot be read twice', async () => {
  const source = await openSource(Readable.from([Buffer.alloc(1024)], { objectMode: false }), {
    streamSize: 1024,
  });
  await source.readBlocks([{ data: aligned(512), offset: 0 }]);
  await assertFails(source.readBlocks([{ data: aligned(512), offset: 0 }]), 'OUT_OF_ORDER');
  await source.close();
});

test('a FIFO is read as a stream; while it has no writer it can be closed', async (t) => {
  const scratch = await Scratch.for(t);
  const path = scratch.path('fifo');
  await run('mkfifo', path);
  await assertFails(openSource(path), 'SOURCE_SIZE_UNKNOWN');
  const abandoned = await openSource(path, { streamSize: 1024 });
  const waiting = assertFails(abandoned.readBlocks([{ data: aligned(512), offset: 0 }]), 'CLOSED');
  await abandoned.close();
  await waiting;

  const source = await openSource(path, { streamSize: 4 * blockSize });
  const reading = readAll(source, 4 * blockSize);
  const image = randomBytes(2 * blockSize + 5);
  await writeFile(path, image);
  const expected = Buffer.concat([image, Buffer.alloc(2 * blockSize - 5)]);
  assertSameBytes(await reading, expected);
  await source.checkUnchanged();
  await source.close();
});

const program = `
  import { createHash } from 'node:crypto';
  import { openSource } from './src/image/open-source.ts';
  try {
    const source = await openSource('-', { streamSize: 1 << 20 });
    const reads = Array.from({ length: 16 }, (_, i) => ({ data: new Uint8Array(65536), offset: i * 65536 }));
    await source.readBlocks(reads);
    await source.checkUnchanged();
    await source.close();
    const hash = createHash('sha256');
    for (const { data } of reads) hash.update(data);
    console.log(hash.digest('hex'));
  } catch (error) {
    console.log(error.class, error.code);
  }
`;
const programArgs = ['--import', 'tsx', '--input-type=module', '--eval', program];
const root = new URL('../..', import.meta.url).pathname;

async function withStdin(command: string): Promise<string> {
  const child = spawn('sh', ['-c', command, 'sh', process.execPath, ...programArgs], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  return (await buffer(child.stdout)).toString().trim();
}

test('stdin is read from a pipe and from a file', async (t) => {
  const scratch = await Scratch.for(t);
  const path = scratch.path('disk.img');
  const image = randomBytes(700_000);
  await writeFile(path, image);
  const expected = createHash('sha256')
    .update(image)
    .update(Buffer.alloc((1 << 20) - image.length))
    .digest('hex');
  assert.equal(await withStdin(`cat ${path} | "$@"`), expected);
  assert.equal(await withStdin(`"$@" < ${path}`), expected);
});

test('stdin is refused when it is a terminal', async () => {
  const python = 'import pty, sys; sys.exit(pty.spawn(sys.argv[1:]))';
  const child = spawn('python3', ['-c', python, process.execPath, ...programArgs], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  assert.match((await buffer(child.stdout)).toString(), /usage SOURCE_IS_TERMINAL/);
});

test('a block device is read exactly, whatever its size, also while it is mounted', needsLoop, async (t) => {
  const scratch = await Scratch.for(t);
  for (const bytes of [8 * MiB, 8 * MiB - 512]) {
    const { device, backing } = await scratch.loop({ bytes });
    await run('mkfs.ext4', '-q', device);
    await scratch.mount(device, ['-o', 'ro']);
    const image = await readFile(backing);
    const source = await openSource(device);
    assert.equal(source.kind, 'device');
    assert.equal(source.sizeBytes, bytes);
    assertSameBytes(await readAll(source, 8 * MiB, 512 * KiB), padded(image, 512 * KiB));
    await source.checkUnchanged();
    await source.close();
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
