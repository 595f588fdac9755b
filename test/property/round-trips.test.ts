/**
 * Images of any length, with any mix of holes, written zeros and data, uploaded with each treatment of zeros: the snapshot
 * has exactly the expected blocks, and a download restores the image. Blocks finish out of order and some are put twice,
 * and the service still accepts their count and checksum.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { closeSync, ftruncateSync, openSync, rmSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { Readable } from 'node:stream';
import { type TestContext, test } from 'node:test';
import fc from 'fast-check';
import type { Emulator } from '../../src/emulator/index.ts';
import { downloadSnapshot, type UploadOptions, uploadSnapshot } from '../../src/index.ts';
import '../support/in-memory.ts';
import { forgetCache, needsLoop, Scratch } from '../support/loop.ts';
import { firstWrongBlock, GIB, startService } from '../support/service.ts';
import { assertProperty } from './property.ts';

const BLOCK = 16_384;
/** The unit in which file systems allocate. */
const PAGE = 4_096;

interface Segment {
  readonly kind: 'hole' | 'zeros' | 'data';
  readonly length: number;
}

/** Lengths that are and are not multiples of blocks and pages. */
const segments = fc.array(
  fc.record({
    kind: fc.constantFrom('hole' as const, 'zeros' as const, 'data' as const),
    length: fc.oneof(
      fc.integer({ min: 1, max: 3 * BLOCK }),
      fc.integer({ min: 1, max: 4 }).map((count) => count * BLOCK),
      fc.integer({ min: 1, max: 12 }).map((count) => count * PAGE),
    ),
  }),
  { minLength: 1, maxLength: 12 },
);

/** The treatments of zeros, by their options. */
const treatments = {
  'sent by default': {},
  'sent, encrypted': { encrypted: true },
  omitted: { omitZeroBlocks: true },
  'holes detected': { detectHoles: true },
  'holes detected, encrypted': { detectHoles: true, encrypted: true },
  'holes detected, zeros omitted': { detectHoles: true, omitZeroBlocks: true },
  'holes from a map': { holesFromSidecar: 'map' },
  'holes from a map, encrypted': { holesFromSidecar: 'map', encrypted: true },
  'holes from a map, zeros omitted': { holesFromSidecar: 'map', omitZeroBlocks: true },
} satisfies Record<string, Partial<UploadOptions>>;

class Image {
  readonly bytes: Buffer;
  readonly #segments: readonly (Segment & { start: number })[];

  constructor(given: readonly Segment[]) {
    let start = 0;
    this.#segments = given.map((segment) => {
      start += segment.length;
      return { ...segment, start: start - segment.length };
    });
    this.bytes = Buffer.alloc(start);
    // Without zero bytes, any part of a data segment makes its block data.
    for (const { kind, start: at, length } of this.#segments)
      if (kind === 'data')
        this.bytes.set(
          randomBytes(length).map((byte) => byte | 1),
          at,
        );
  }

  /** Writes all but the holes. */
  write(path: string): void {
    const file = openSync(path, 'w');
    ftruncateSync(file, this.bytes.length);
    for (const { kind, start, length } of this.#segments)
      if (kind !== 'hole') writeSync(file, this.bytes, start, length, start);
    closeSync(file);
  }

  /** The map in the format of `qemu-img map --output=json`. */
  get map(): object[] {
    return this.#segments.map(({ kind, start, length }) => ({
      start,
      length,
      zero: kind !== 'data',
      data: kind !== 'hole',
    }));
  }

  block(index: number, blockSize: number): Buffer {
    return Buffer.concat([this.bytes.subarray(index * blockSize, (index + 1) * blockSize)], blockSize);
  }

  blocks(blockSize: number): Map<number, Buffer> {
    const count = Math.ceil(this.bytes.length / blockSize);
    return new Map(Array.from({ length: count }, (_, index) => [index, this.block(index, blockSize)]));
  }

  /** The blocks expected in the snapshot. */
  expected(options: Partial<UploadOptions>): number[] {
    const { omitZeroBlocks, detectHoles, holesFromSidecar, encrypted } = options;
    const skipsHoles = !encrypted && (detectHoles || holesFromSidecar !== undefined);
    const unit = skipsHoles ? (detectHoles ? PAGE : 1) : undefined;
    const isExpected = (index: number) => {
      if (omitZeroBlocks && this.block(index, BLOCK).every((byte) => byte === 0)) return false;
      return unit === undefined || this.#isWritten(index * BLOCK, (index + 1) * BLOCK, unit);
    };
    return [...this.blocks(BLOCK).keys()].filter(isExpected);
  }

  /** Reports whether a range was written, where each write fills whole units. */
  #isWritten(from: number, to: number, unit: number): boolean {
    return this.#segments.some(({ kind, start, length }) => {
      const begin = Math.floor(start / unit) * unit;
      const end = Math.ceil((start + length) / unit) * unit;
      return kind !== 'hole' && begin < to && end > from;
    });
  }
}

/** Uploads, downloads and compares. @returns the blocks of the snapshot */
async function roundTrip(
  t: { emulator: Emulator; scratch: Scratch },
  image: Image,
  options: UploadOptions,
  blockSize = BLOCK,
): Promise<number[]> {
  const { emulator, scratch } = t;
  const put = 'PutSnapshotBlock';
  emulator.setFaults([
    { operation: put, probability: 0.2, seed: 1, action: { type: 'delay', ms: 5 } },
    // A block whose reply is lost is put again.
    { operation: put, nth: 5, action: { type: 'drop', executed: true } },
  ]);
  const service = { endpoint: emulator.url, region: 'us-east-1' };
  const wait = { successesRequired: 1, secondsBetweenAttempts: 0.01 };
  const { snapshotId, status, volumeSize } = await uploadSnapshot({ ...service, ...options, wait });
  assert.deepEqual([status, volumeSize], ['completed', GIB]);
  const target = scratch.path('copy.img');
  rmSync(target, { force: true });
  await downloadSnapshot({ ...service, snapshotId, target });
  assert.equal(await firstWrongBlock(target, image.blocks(blockSize), GIB, blockSize), undefined);
  return emulator.snapshot(snapshotId)!.writtenBlocks;
}

async function setUp(t: TestContext, blockSize = BLOCK) {
  const scratch = await Scratch.for(t);
  process.env.STATE_DIRECTORY = scratch.directory;
  return { scratch, ...(await startService(t, { blockSize })) };
}

test('any file is restored unchanged, and the snapshot has exactly the expected blocks', async (t) => {
  const fixture = await setUp(t);
  const [source, map] = [fixture.scratch.path('disk.img'), fixture.scratch.path('map.json')];
  assert.equal(
    statSync(fixture.scratch.directory).blksize,
    PAGE,
    'this file system allocates in another unit',
  );
  const values = [segments, fc.integer({ min: 1, max: 16 })] as const;
  const property = fc.asyncProperty(...values, async (given, workers) => {
    const image = new Image(given);
    image.write(source);
    writeFileSync(map, JSON.stringify(image.map));
    for (const [name, flags] of Object.entries<Partial<UploadOptions>>(treatments)) {
      const sidecar = flags.holesFromSidecar === undefined ? {} : { holesFromSidecar: map };
      const listed = await roundTrip(fixture, image, { source, workers, ...flags, ...sidecar });
      assert.deepEqual(listed, image.expected(flags), name);
    }
  });
  await assertProperty(t, property, 2);
});

test('any stream, in chunks of any size, is restored unchanged', async (t) => {
  const fixture = await setUp(t);
  const values = [segments, fc.integer({ min: 1, max: 5 * BLOCK }), fc.boolean()] as const;
  const property = fc.asyncProperty(...values, async (given, chunk, omitZeroBlocks) => {
    const image = new Image(given);
    const count = Math.ceil(image.bytes.length / chunk);
    const chunks = Array.from({ length: count }, (_, at) =>
      image.bytes.subarray(at * chunk, (at + 1) * chunk),
    );
    const source = Readable.from(chunks, { objectMode: false });
    const listed = await roundTrip(fixture, image, { source, volumeSizeGiB: 1, omitZeroBlocks });
    assert.deepEqual(listed, image.expected({ omitZeroBlocks }));
  });
  await assertProperty(t, property, 5);
});

test('any device, of any size and sector size, is restored unchanged', needsLoop, async (t) => {
  const fixture = await setUp(t);
  const values = [segments, fc.constantFrom(512, 4_096), fc.boolean()] as const;
  const property = fc.asyncProperty(...values, async (given, sectorSize, omitZeroBlocks) => {
    const rest = given.reduce((sum, { length }) => sum + length, 0) % sectorSize;
    const image = new Image(rest === 0 ? given : [...given, { kind: 'data', length: sectorSize - rest }]);
    const { device, backing } = await fixture.scratch.loop({ bytes: image.bytes.length, sectorSize });
    writeFileSync(backing, image.bytes, { flag: 'r+' });
    await forgetCache(device);
    const listed = await roundTrip(fixture, image, { source: device, omitZeroBlocks });
    assert.deepEqual(listed, image.expected({ omitZeroBlocks }));
  });
  await assertProperty(t, property, 4);
});

test('with any parent every block of the volume is put, so that none of the parent is visible', async (t) => {
  const blockSize = 2 ** 20;
  const fixture = await setUp(t, blockSize);
  const source = fixture.scratch.path('disk.img');
  const all = Array.from({ length: GIB / blockSize }, (_, index) => index);
  const values = [segments, fc.uniqueArray(fc.nat(all.length - 1), { maxLength: 4 })] as const;
  const property = fc.asyncProperty(...values, async (given, parents) => {
    const blocks = new Map([0, ...parents].map((index) => [index, Buffer.alloc(blockSize, 0xee)]));
    const parentSnapshotId = await fixture.emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
    const image = new Image(given);
    image.write(source);
    const listed = await roundTrip(
      fixture,
      image,
      { source, parentSnapshotId, detectHoles: true },
      blockSize,
    );
    assert.deepEqual(listed, all);
  });
  await assertProperty(t, property, 1);
});
