/** Reading streams that are to be uploaded. */
import { strict as assert } from 'node:assert';
import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { Readable } from 'node:stream';
import { buffer, text } from 'node:stream/consumers';
import { test } from 'node:test';
import fc from 'fast-check';
import { openSource } from '../../src/image/open-source.ts';
import { compileProgram } from '../support/compile.ts';
import { run, Scratch } from '../support/loop.ts';
import { aligned, assertFails, assertSameBytes, KiB, readAll } from './blocks.ts';

const blockSize = 64 * KiB;

test('reads a stream in order whatever its chunks are, and fills the volume with zeros', async () => {
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
  assert.equal(error.sourceFault, true);
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

test('a stream that fails or gives text makes reads fail', async () => {
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
  const error = await assertFails(wrong.readBlocks([{ data: aligned(512), offset: 0 }]), 'SOURCE_NOT_BYTES');
  assert.equal(error.sourceFault, true);
  await wrong.close();

  const cut = new Readable({ read() {} });
  const ended = await openSource(cut, { streamSize: 1024 });
  const reading = assertFails(ended.readBlocks([{ data: aligned(512), offset: 0 }]), 'STREAM_FAILED');
  cut.destroy();
  await reading;
});

test('a stream that fails after its last byte is an error', async () => {
  const image = Buffer.alloc(1024, 1);
  const failsBeforeItsEnd = () => {
    let given = false;
    return new Readable({
      read() {
        if (given) this.destroy(new Error('the tape is torn'));
        else this.push(image);
        given = true;
      },
    });
  };
  const failsAfterItsEnd = () =>
    new Readable({
      read() {
        this.push(image);
        this.push(null);
      },
      destroy(_error, done) {
        setImmediate(done, new Error('the tape is torn'));
      },
    });
  for (const [make, streamSize] of [
    [failsBeforeItsEnd, 1024],
    [failsBeforeItsEnd, 2048],
    [failsAfterItsEnd, 1024],
    [failsAfterItsEnd, 2048],
  ] as const) {
    const source = await openSource(make(), { streamSize });
    await source.ready();
    const failure = await source
      .readBlocks([0, 512, 1024].map((offset) => ({ data: aligned(512), offset })))
      .then(() => source.checkUnchanged())
      .then(
        () => undefined,
        (error: unknown) => error,
      );
    assert.match(String(failure), /could not read stream: the tape is torn/, `${make.name} ${streamSize}`);
    await source.close();
  }
});

test('a stream that never closes after its end is at its end', async () => {
  const stream = new Readable({ read() {}, emitClose: false, autoDestroy: false });
  stream.push(Buffer.alloc(512, 1));
  stream.push(null);
  const source = await openSource(stream, { streamSize: 1024 });
  await source.readBlocks([0, 512].map((offset) => ({ data: aligned(512), offset })));
  await source.checkUnchanged();
  await source.close();
});

test('a stream of an older readable-stream, which has no iterator(), is read', async () => {
  const stream = Object.assign(Readable.from([Buffer.alloc(512, 1)], { objectMode: false }), {
    iterator: undefined,
  });
  const source = await openSource(stream as unknown as Readable, { streamSize: 512 });
  assert.equal((await source.readBlocks([{ data: aligned(512), offset: 0 }]))[0]?.bytesRead, 512);
  await source.checkUnchanged();
  await source.close();
});

test('a stream with an open other direction is read to its end, and can be written to after that', async (t) => {
  const server = createServer({ allowHalfOpen: true }).listen(0, '127.0.0.1');
  t.after(() => server.close());
  await once(server, 'listening');
  const client = connect({ port: (server.address() as AddressInfo).port, allowHalfOpen: true });
  const [socket] = (await once(server, 'connection')) as [Socket];
  client.end(Buffer.alloc(700, 5));
  const source = await openSource(socket, { streamSize: 1024 });
  const results = await source.readBlocks([0, 512].map((offset) => ({ data: aligned(512), offset })));
  assert.deepEqual(
    results.map(({ bytesRead }) => bytesRead),
    [512, 188],
  );
  await source.checkUnchanged();
  await source.close();
  socket.end('snap-1');
  assert.equal(await text(client), 'snap-1');
});

test('closing a stream source rejects pending reads', async () => {
  const stream = new Readable({ read() {} });
  const source = await openSource(stream, { streamSize: 1024 });
  const waiting = assertFails(source.readBlocks([{ data: aligned(512), offset: 0 }]), 'CLOSED');
  await source.close();
  await waiting;
  assert.ok(stream.destroyed);
});

test('a stream is ready when its first bytes have come, and they are read after that', async () => {
  const stream = new Readable({ read() {} });
  const source = await openSource(stream, { streamSize: 1024 });
  const ready = source.ready();
  stream.push(Buffer.alloc(512, 7));
  await ready;
  stream.push(null);
  const data = aligned(1024);
  assert.equal((await source.readBlocks([{ data, offset: 0 }]))[0]?.bytesRead, 512);
  assert.deepEqual([data[0], data[511], data[512]], [7, 7, 0]);
  await source.close();
});

test('an empty stream is an error', async () => {
  const source = await openSource(Readable.from([], { objectMode: false }), { streamSize: 1024 });
  await assertFails(source.ready(), 'SOURCE_EMPTY');
  await source.close();
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
  const reading = readAll(source, 4 * blockSize, blockSize);
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
const compiled = compileProgram({ text: program });

async function withStdin(command: string): Promise<string> {
  const child = spawn('sh', ['-c', command, 'sh', process.execPath, await compiled], {
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
  const child = spawn('python3', ['-c', python, process.execPath, await compiled], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  assert.match((await buffer(child.stdout)).toString(), /usage SOURCE_IS_TERMINAL/);
});
