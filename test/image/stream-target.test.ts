/** Restores to streams: stdout, FIFOs, and what a caller of the library gives. */
import { strict as assert } from 'node:assert';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { open, readFile } from 'node:fs/promises';
import { PassThrough, Transform, Writable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { test } from 'node:test';
import { openTarget } from '../../src/image/open-target.ts';
import type { ImageTarget } from '../../src/image/target.ts';
import { run, Scratch } from '../support/loop.ts';
import { arrived, assertFails, assertSameBytes, damaged, KiB, MiB, volumeOf } from './blocks.ts';

const blockSize = 64 * KiB;
const geometry = { volumeSize: MiB, blockSize };

/** A stream that keeps what it gets, and takes a chunk only when it is told to. */
class Gate extends Writable {
  readonly chunks: Buffer[] = [];
  #waiting: (() => void) | undefined;

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.chunks.push(Buffer.from(chunk));
    this.#waiting = done;
    this.emit('taken');
  }

  open(): void {
    const done = this.#waiting;
    this.#waiting = undefined;
    done?.();
  }
}

async function begin(stream: Writable): Promise<ImageTarget> {
  const target = await openTarget(stream);
  await target.checkOverwrite({ force: false, resuming: false });
  await target.prepare(geometry, { resume: false });
  return target;
}

/** Whether a promise has settled once all that could settle by itself has. */
async function settledNow(promise: Promise<unknown>): Promise<boolean> {
  const pending = Symbol('pending');
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
  return (await Promise.race([promise, Promise.resolve(pending)])) !== pending;
}

test('blocks and zeros that come in any order leave in order', async () => {
  const stream = new PassThrough();
  const image = buffer(stream);
  const target = await begin(stream);
  assert.equal(target.journal, undefined);
  const last = target.zero(6 * blockSize, 10 * blockSize);
  const later = target.writeBlocks([arrived(5, blockSize), arrived(2, blockSize), arrived(3, blockSize, 0)]);
  const gap = target.zero(4 * blockSize, blockSize);
  const first = target.writeBlocks([arrived(1, blockSize), arrived(0, blockSize)]);
  assert.deepEqual(await first, ['written', 'written']);
  assert.deepEqual(await later, ['written', 'written', 'zero']);
  await Promise.all([gap, last]);
  await target.commit();
  assertSameBytes(
    await image,
    volumeOf(
      [0, 1, 2, 5].map((index) => arrived(index, blockSize)),
      MiB,
    ),
  );
});

test('a block is settled when the stream has taken it, and not before', async () => {
  const stream = new Gate();
  const target = await begin(stream);
  const taken = once(stream, 'taken');
  const first = target.writeBlocks([arrived(0, blockSize)]);
  const second = target.writeBlocks([arrived(1, blockSize)]);
  await taken;
  assert.equal(await settledNow(first), false);
  assert.equal(stream.chunks.length, 1, 'the second block waits until the first was taken');
  stream.open();
  await first;
  assert.equal(await settledNow(second), false);
  stream.open();
  await second;
  await target.abandon({ keepForResume: false });
});

test('a batch whose blocks wait for one with a wrong checksum settles, so that this one can come again', async () => {
  const stream = new PassThrough();
  const image = buffer(stream);
  const target = await begin(stream);
  const early = arrived(2, blockSize);
  const verdicts = await target.writeBlocks([damaged(0, blockSize), arrived(1, blockSize), early]);
  assert.deepEqual(verdicts, ['mismatch', 'written', 'written']);
  early.data.fill(0xee); // The buffer goes back to the pool and is used again.
  await target.writeBlocks([arrived(0, blockSize)]);
  await target.zero(3 * blockSize, 13 * blockSize);
  await target.commit();
  assertSameBytes(
    await image,
    volumeOf(
      [0, 1, 2].map((index) => arrived(index, blockSize)),
      MiB,
    ),
  );
});

test('a stream that keeps or changes its chunks harms neither the image nor the zeros', async () => {
  const invert = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      for (let i = 0; i < chunk.length; i++) chunk[i]! ^= 0xff;
      done(null, chunk);
    },
  });
  const image = buffer(invert);
  const target = await begin(invert);
  const block = arrived(0, blockSize);
  await target.writeBlocks([block]);
  block.data.fill(0xee);
  for (let index = 1; index < 16; index++) await target.zero(index * blockSize, blockSize);
  await target.commit();
  const expected = volumeOf([arrived(0, blockSize)], MiB).map((byte) => byte ^ 0xff);
  assertSameBytes(await image, expected);
});

test('a volume that was not written to its end is not committed', async () => {
  const target = await begin(new PassThrough().resume());
  await target.writeBlocks([arrived(0, blockSize)]);
  await assertFails(target.commit(), 'INCOMPLETE', /only 65536 of 1048576 bytes/);
  await target.abandon({ keepForResume: false });
});

test('a range that was given already is refused', async () => {
  const stream = new PassThrough().resume();
  const target = await begin(stream);
  await target.writeBlocks([arrived(0, blockSize)]);
  await assertFails(target.writeBlocks([arrived(0, blockSize)]), 'OUT_OF_ORDER');
  const waiting = target.zero(2 * blockSize, blockSize);
  await assertFails(target.zero(2 * blockSize, blockSize), 'OUT_OF_ORDER');
  await assertFails(target.zero(15 * blockSize, 2 * blockSize), 'OUTSIDE_VOLUME');
  await target.abandon({ keepForResume: false });
  await assertFails(waiting, 'CLOSED');
});

test('a stream that fails fails what waits for it and all that follows', async () => {
  const stream = new Writable({ write: (_chunk, _encoding, done) => done(new Error('the tape is full')) });
  const target = await begin(stream);
  const waiting = target.zero(blockSize, blockSize);
  const checks = [
    assertFails(
      target.writeBlocks([arrived(0, blockSize)]),
      'STREAM_FAILED',
      /could not write to stream: the tape is full/,
    ),
    assertFails(waiting, 'STREAM_FAILED'),
  ];
  await Promise.all(checks);
  await assertFails(target.zero(2 * blockSize, blockSize), 'STREAM_FAILED');
  await assertFails(target.commit(), 'STREAM_FAILED');
  await target.abandon({ keepForResume: false });
});

test('a stream that fails only at its end fails the commit', async () => {
  const stream = new Writable({
    write: (_chunk, _encoding, done) => done(),
    final: (done) => done(new Error('could not be closed')),
  });
  const target = await begin(stream);
  await target.zero(0, MiB);
  await assertFails(target.commit(), 'STREAM_FAILED', /could not be closed/);
});

test('abandoning destroys the stream and leaves nothing waiting', async () => {
  const stream = new Gate();
  const target = await begin(stream);
  const taken = once(stream, 'taken');
  const waits = [target.writeBlocks([arrived(0, blockSize)]), target.writeBlocks([arrived(7, blockSize)])];
  const checks = waits.map((wait) => assertFails(wait, 'CLOSED'));
  await taken;
  await target.abandon({ keepForResume: true });
  await Promise.all(checks);
  assert.ok(stream.destroyed);
  assert.ok(!stream.writableFinished);
});

test('a stream that is over already is refused', async () => {
  const stream = new PassThrough();
  stream.destroy();
  const target = await openTarget(stream);
  await assertFails(target.prepare(geometry, { resume: false }), 'CLOSED');
});

test('a FIFO waits for its reader and gets the image', async (t) => {
  const scratch = await Scratch.for(t);
  const path = scratch.path('fifo');
  await run('mkfifo', path);
  const opening = openTarget(path);
  const image = buffer(createReadStream(path));
  const target = await opening;
  assert.equal(target.kind, 'stream');
  await target.prepare(geometry, { resume: false });
  await target.writeBlocks([arrived(0, blockSize), arrived(1, blockSize)]);
  await target.zero(2 * blockSize, 14 * blockSize);
  await target.commit();
  assertSameBytes(
    await image,
    volumeOf(
      [0, 1].map((index) => arrived(index, blockSize)),
      MiB,
    ),
  );
});

test('the wait for the reader of a FIFO can be ended', async (t) => {
  const scratch = await Scratch.for(t);
  await run('mkfifo', scratch.path('fifo'));
  const controller = new AbortController();
  const opening = openTarget(scratch.path('fifo'), { signal: controller.signal });
  controller.abort();
  const error = await assertFails(opening, 'ABORTED');
  assert.equal(error.class, 'aborted');
});

test('a reader that goes away ends the restore quietly', async (t) => {
  const scratch = await Scratch.for(t);
  const path = scratch.path('fifo');
  await run('mkfifo', path);
  const opening = openTarget(path);
  const reader = await open(path, 'r');
  const target = await opening;
  await target.prepare(geometry, { resume: false });
  const failure = assertFails(target.zero(0, MiB), 'EPIPE', /the reader of .*fifo went away/);
  await reader.read(Buffer.alloc(1024));
  await reader.close();
  const error = await failure;
  assert.equal(error.class, 'aborted');
  await target.abandon({ keepForResume: false });
});

test('/dev/null takes an image, and /dev/full does not', async () => {
  const target = await openTarget('/dev/null');
  await target.prepare(geometry, { resume: false });
  await target.zero(0, MiB);
  await target.commit();
  const full = await openTarget('/dev/full');
  await full.prepare(geometry, { resume: false });
  const error = await assertFails(full.zero(0, MiB), 'ENOSPC');
  assert.equal(error.class, 'local');
});

/** A program that restores to its stdout: data, zeros, data, and then says on stderr how it went. */
const program = `
  import { openTarget } from './src/image/open-target.ts';
  import { arrived, KiB, MiB } from './test/image/blocks.ts';
  try {
    const target = await openTarget('-');
    await target.checkOverwrite({ force: false, resuming: false });
    await target.prepare({ volumeSize: 8 * MiB, blockSize: 64 * KiB }, { resume: false });
    const last = target.writeBlocks([arrived(127, 64 * KiB)]);
    const middle = target.zero(64 * KiB, 126 * 64 * KiB);
    await target.writeBlocks([arrived(0, 64 * KiB)]);
    await Promise.all([middle, last]);
    await target.commit();
    console.error('committed');
  } catch (error) {
    console.error(error.class, error.code);
  }
`;
const programImage = volumeOf([arrived(0, blockSize), arrived(127, blockSize)], 8 * MiB);
const programArgs = ['--import', 'tsx', '--input-type=module', '--eval', program];
const root = new URL('../..', import.meta.url).pathname;

async function shell(command: string): Promise<{ stdout: Buffer; stderr: string }> {
  const args = ['-c', command, 'sh', process.execPath, ...programArgs];
  const child = spawn('sh', args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
  const [stdout, stderr] = await Promise.all([buffer(child.stdout), buffer(child.stderr)]);
  return { stdout, stderr: stderr.toString().trim() };
}

test('stdout gets the image: through a pipe, a socket, and into a file, where it is synced', async (t) => {
  const scratch = await Scratch.for(t);
  const file = scratch.path('image');
  const expected = createHash('sha256').update(programImage).digest('hex');
  const [socket, pipe] = await Promise.all([shell('exec "$@"'), shell('"$@" | sha256sum')]);
  // What node gives a child as a pipe is a socket pair.
  assertSameBytes(socket.stdout, programImage);
  assert.equal(socket.stderr, 'committed');
  assert.equal(pipe.stdout.toString().slice(0, 64), expected);
  assert.equal(pipe.stderr, 'committed');
  const redirected = await shell(
    `printf head > ${file}; strace -f -e trace=fsync -o ${file}.trace "$@" >> ${file}`,
  );
  assert.equal(redirected.stderr, 'committed');
  assertSameBytes(await readFile(file), Buffer.concat([Buffer.from('head'), programImage]));
  assert.match(await readFile(`${file}.trace`, 'utf8'), /fsync\(1\)\s+= 0/);
});

test('a program whose reader ends early is told so', async () => {
  const { stdout, stderr } = await shell('"$@" | head -c 100000');
  assert.equal(stdout.length, 100_000);
  assert.equal(stderr, 'aborted EPIPE');
});

test('stdout is refused when it is a terminal', async () => {
  const python = 'import pty, sys; sys.exit(pty.spawn(sys.argv[1:]))';
  const child = spawn('python3', ['-c', python, process.execPath, ...programArgs], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  assert.match((await buffer(child.stdout)).toString(), /usage TARGET_IS_TERMINAL/);
});
