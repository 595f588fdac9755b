/** Any snapshot against any image of it: a comparison finds exactly the blocks that differ, and no other. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { closeSync, createReadStream, ftruncateSync, openSync, writeSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import fc from 'fast-check';
import { verifySnapshot } from '../../src/index.ts';
import '../support/in-memory.ts';
import { forgetCache, needsLoop, Scratch } from '../support/loop.ts';
import { GIB, startService } from '../support/service.ts';
import { assertProperty } from './property.ts';

const BLOCK = 2 ** 20;
const COUNT = GIB / BLOCK;

/** Blocks close together, so that ranges merge, and anywhere, the last one included. */
const someBlocks = fc.uniqueArray(fc.oneof(fc.nat(24), fc.nat(COUNT - 1), fc.constant(COUNT - 1)), {
  maxLength: 16,
});

const cases = fc.record({
  data: someBlocks,
  zeros: someBlocks,
  /** Blocks of the image that are made different, and how. */
  changes: fc.array(
    fc.record({
      block: fc.oneof(fc.nat(24), fc.nat(COUNT - 1)),
      how: fc.constantFrom('bit' as const, 'random' as const, 'zeros' as const, 'hole' as const),
    }),
    { maxLength: 12 },
  ),
  /** Bytes after the volume. */
  tail: fc.constantFrom(0, 512, BLOCK + 512),
  workers: fc.integer({ min: 1, max: 8 }),
  pageSize: fc.integer({ min: 1, max: 12 }),
});

type Case = typeof cases extends fc.Arbitrary<infer Value> ? Value : never;

class Pair {
  readonly snapshot = new Map<number, Buffer>();
  /** Blocks of the image; holes elsewhere. */
  readonly image: Map<number, Buffer>;

  constructor({ data, zeros, changes }: Case) {
    for (const block of zeros) this.snapshot.set(block, Buffer.alloc(BLOCK));
    for (const block of data) this.snapshot.set(block, randomBytes(BLOCK));
    this.image = new Map(this.snapshot);
    for (const { block, how } of changes) {
      const changed = Buffer.from(this.image.get(block) ?? Buffer.alloc(BLOCK));
      changed[block % BLOCK]! ^= 0x10;
      if (how === 'bit') this.image.set(block, changed);
      if (how === 'random') this.image.set(block, randomBytes(BLOCK));
      if (how === 'zeros') this.image.set(block, Buffer.alloc(BLOCK));
      if (how === 'hole') this.image.delete(block);
    }
  }

  write(path: string, tail: number): void {
    const file = openSync(path, 'r+');
    ftruncateSync(file, 0);
    ftruncateSync(file, GIB + tail);
    for (const [block, data] of this.image) writeSync(file, data, 0, BLOCK, block * BLOCK);
    if (tail > 0) writeSync(file, randomBytes(tail), 0, tail, GIB);
    closeSync(file);
  }

  get differences(): { start: number; end: number }[] {
    const zeros = Buffer.alloc(BLOCK);
    const found: { start: number; end: number }[] = [];
    for (let block = 0; block < COUNT; block++) {
      if ((this.image.get(block) ?? zeros).equals(this.snapshot.get(block) ?? zeros)) continue;
      const last = found.at(-1);
      if (last?.end === block * BLOCK) last.end += BLOCK;
      else found.push({ start: block * BLOCK, end: (block + 1) * BLOCK });
    }
    return found;
  }
}

async function check(
  t: TestContext,
  given: Case,
  pair: Pair,
  target: Parameters<typeof verifySnapshot>[0]['target'],
): Promise<void> {
  const { emulator, service } = await startService(t, { blockSize: BLOCK, pageSize: given.pageSize });
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: pair.snapshot });
  const { workers } = given;
  const result = await verifySnapshot({ snapshotId, target, workers, ...service });
  assert.deepEqual(result.differences, pair.differences);
  assert.equal(result.equal, pair.differences.length === 0);
  assert.deepEqual([result.bytesCompared, result.bytesDone], [GIB, GIB]);
  assert.equal(emulator.requests('GetSnapshotBlock').length, pair.snapshot.size);
  await emulator.close();
}

test('a comparison of any file or stream finds exactly what differs', async (t) => {
  const scratch = await Scratch.for(t);
  const path = scratch.path('disk.img');
  closeSync(openSync(path, 'w'));
  const property = fc.asyncProperty(cases, async (given) => {
    const pair = new Pair(given);
    pair.write(path, given.tail);
    await check(t, given, pair, path);
    // Pieces that are large, for speed, and end within blocks.
    await check(t, given, pair, createReadStream(path, { highWaterMark: 1_000_000 }));
  });
  await assertProperty(t, property, 4);
});

test('a comparison of any device finds exactly what differs', needsLoop, async (t) => {
  const scratch = await Scratch.for(t);
  const values = [cases, fc.constantFrom(512, 4_096)] as const;
  const property = fc.asyncProperty(...values, async (given, sectorSize) => {
    const tail = Math.ceil(given.tail / 4_096) * 4_096;
    const { device, backing } = await scratch.loop({ bytes: GIB + tail, sectorSize });
    const pair = new Pair(given);
    pair.write(backing, tail);
    await forgetCache(device);
    await check(t, given, pair, device);
    await scratch.detach(device);
  });
  await assertProperty(t, property, 3);
});
