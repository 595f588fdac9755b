/** Restores to streams that a caller of the library gives: order, back-pressure, failures. */
import { strict as assert } from 'node:assert';
import { once } from 'node:events';
import { PassThrough, Transform, Writable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { test } from 'node:test';
import fc from 'fast-check';
import { openTarget } from '../../src/image/open-target.ts';
import type { BlockOutcome, ImageTarget, TargetBlock } from '../../src/image/target.ts';
import { arrived, assertFails, assertSameBytes, damaged, KiB, MiB, volumeOf } from './blocks.ts';

const blockSize = 64 * KiB;
const geometry = { volumeSize: MiB, blockSize };

/** A stream that keeps its input, and takes a chunk only when released. */
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

test('writes blocks and zeros in order, whatever order they come in', async () => {
  const stream = new PassThrough();
  const image = buffer(stream);
  const target = await begin(stream);
  assert.equal(target.resumable, undefined);
  const last = target.zero(6 * blockSize, 10 * blockSize);
  const later = target.writeBlocks([arrived(5, blockSize), arrived(2, blockSize), arrived(3, blockSize, 0)]);
  const gap = target.zero(4 * blockSize, blockSize);
  const first = target.writeBlocks([arrived(1, blockSize), arrived(0, blockSize)]);
  assert.deepEqual(await first, ['written', 'written']);
  assert.deepEqual(await later, ['written', 'written', 'zero']);
  await Promise.all([gap, last]);
  await target.commit();
  await target.close();
  assertSameBytes(
    await image,
    volumeOf(
      [0, 1, 2, 5].map((index) => arrived(index, blockSize)),
      MiB,
    ),
  );
});

test('a block settles when the stream has taken it, not before', async () => {
  const stream = new Gate();
  const target = await begin(stream);
  const taken = once(stream, 'taken');
  const first = target.writeBlocks([arrived(0, blockSize)]);
  const second = target.writeBlocks([arrived(1, blockSize)]);
  await taken;
  assert.equal(await settledNow(first), false);
  assert.equal(stream.chunks.length, 1, 'the second block waits until the first was taken');
  const takenNext = once(stream, 'taken');
  stream.open();
  await first;
  await takenNext;
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
  const outcomes = await target.writeBlocks([damaged(0, blockSize), arrived(1, blockSize), early]);
  assert.deepEqual(outcomes, ['mismatch', 'written', 'written']);
  early.data.fill(0xee); // The buffer goes back to the pool and is used again.
  await target.writeBlocks([arrived(0, blockSize)]);
  await target.zero(3 * blockSize, 13 * blockSize);
  await target.commit();
  await target.close();
  assertSameBytes(
    await image,
    volumeOf(
      [0, 1, 2].map((index) => arrived(index, blockSize)),
      MiB,
    ),
  );
});

test('a commit waits for blocks that settled early, beside one with a wrong checksum', async () => {
  const stream = new PassThrough();
  const image = buffer(stream);
  const target = await begin(stream);
  await target.zero(0, 14 * blockSize);
  await target.writeBlocks([damaged(14, blockSize), arrived(15, blockSize)]);
  await target.writeBlocks([arrived(14, blockSize)]);
  await target.commit();
  await target.close();
  const expected = volumeOf([arrived(14, blockSize), arrived(15, blockSize)], MiB);
  assertSameBytes(await image, expected);
});

test('workers with one buffer each never deadlock when blocks come late, twice or damaged', async () => {
  const size = 4 * KiB;
  await fc.assert(
    fc.asyncProperty(fc.infiniteStream(fc.nat(99)), async (random) => {
      const dice = (sides: number) => (random.next().value as number) % sides;
      const stream = new PassThrough();
      const image = buffer(stream);
      const target = await openTarget(stream);
      await target.prepare({ volumeSize: MiB, blockSize: size }, { resume: false });
      let waiting: { block: TargetBlock; settle: (outcome: BlockOutcome) => void }[] = [];
      const flush = async () => {
        const batch = waiting;
        waiting = [];
        const outcomes = await target.writeBlocks(batch.map(({ block }) => block));
        for (const [i, { settle }] of batch.entries()) settle(outcomes[i]!);
      };
      const submit = (block: TargetBlock) =>
        new Promise<BlockOutcome>((settle) => {
          waiting.push({ block, settle });
          setImmediate(() => void flush());
        });
      let next = 0;
      const worker = async () => {
        while (next < MiB / size) {
          const index = next++;
          if (index % 5 === 1) {
            await target.zero(index * size, size);
            continue;
          }
          do
            for (let ticks = dice(20); ticks > 0; ticks--)
              await new Promise((resolve) => setImmediate(resolve));
          while ((await submit(dice(4) === 0 ? damaged(index, size) : arrived(index, size))) === 'mismatch');
        }
      };
      await Promise.all(Array.from({ length: 1 + dice(16) }, worker));
      await target.commit();
      await target.close();
      const blocks = Array.from({ length: MiB / size }, (_, i) => arrived(i, size, i % 5 === 1 ? 0 : i + 1));
      assertSameBytes(await image, volumeOf(blocks, MiB));
    }),
    { numRuns: 5 },
  );
});

test('a stream that keeps or changes its chunks does not damage the image', async () => {
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
  await target.close();
  const expected = volumeOf([arrived(0, blockSize)], MiB).map((byte) => byte ^ 0xff);
  assertSameBytes(await image, expected);
});

test('a volume that was not written to its end is not committed', async () => {
  const target = await begin(new PassThrough().resume());
  await target.writeBlocks([arrived(0, blockSize)]);
  await assertFails(target.commit(), 'INCOMPLETE', /only 65536 of 1048576 bytes/);
  await target.abandon({ keepForResume: false });
});

test('refuses a range that was written before', async () => {
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

test('a stream that fails rejects pending and later writes', async () => {
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

test('a stream that throws instead of calling back fails in the same way', async () => {
  const stream = new Writable({
    write() {
      throw new Error('the tape is full');
    },
  });
  const target = await begin(stream);
  await assertFails(
    target.zero(0, blockSize),
    'STREAM_FAILED',
    /could not write to stream: the tape is full/,
  );
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

test('abandoning destroys the stream and rejects pending writes', async () => {
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

test('a stream that has ended is refused', async () => {
  const stream = new PassThrough();
  stream.destroy();
  const target = await openTarget(stream);
  await assertFails(target.prepare(geometry, { resume: false }), 'CLOSED');
});
