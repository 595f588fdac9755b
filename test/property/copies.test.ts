/**
 * Any chain of two snapshots with listed, zero, missing, gone and grown blocks: the copies list the same blocks, hold the
 * same bytes, and cost no more requests than that takes.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { type CopyOptions, copySnapshot } from '../../src/index.ts';
import '../support/in-memory.ts';
import { listedBlocks } from '../support/listed.ts';
import { assertCopy, openRegions, type Regions } from '../support/regions.ts';
import { GIB, scratch } from '../support/service.ts';
import { assertProperty } from './property.ts';

const BLOCK = 2 ** 20;
/** In volumes of 1 and 2 GiB: both ends, the middle, and what lies beyond the smaller. */
const someBlocks = fc.uniqueArray(
  fc.oneof(fc.nat(40), fc.nat(2047), fc.constantFrom(0, 1, 1022, 1023, 1024, 2046, 2047)),
  { maxLength: 14 },
);
const layer = fc.record({ data: someBlocks, zeros: someBlocks, gone: someBlocks });

const chains = fc.record({
  layers: fc.tuple(layer, layer),
  sizes: fc.constantFrom([1, 1] as const, [1, 2] as const),
  /** Whether the source is encrypted, and the copy; a copy that gets all its zeros is for another test. */
  encryption: fc.constantFrom(
    [false, false] as const,
    [true, true] as const,
    [true, false] as const,
    [false, true] as const,
  ),
  workers: fc.integer({ min: 1, max: 8 }),
  pageSize: fc.integer({ min: 2, max: 12 }),
  emptyPages: fc.nat(1),
});

type Chain = typeof chains extends fc.Arbitrary<infer Value> ? Value : never;
type Blocks = Map<number, Buffer>;

const ascending = (indexes: Iterable<number>) => [...indexes].sort((a, b) => a - b);

/** Asserts that each of these blocks was read and sent once, and nothing else. */
function assertRequests(regions: Regions, read: Iterable<number>, sent: Iterable<number>): void {
  const indexes = (region: Regions['source'], operation: string) =>
    ascending(region.requests(operation).map(({ blockIndex }) => blockIndex!));
  assert.deepEqual(indexes(regions.source, 'GetSnapshotBlock'), ascending(read));
  assert.deepEqual(indexes(regions.destination, 'PutSnapshotBlock'), ascending(sent));
  for (const region of [regions.source, regions.destination]) region.clearLog();
}

async function checkListed(
  regions: Regions,
  id: string,
  blocks: Blocks,
  volumeSize: number,
  encrypted: boolean,
) {
  const listed = await listedBlocks(regions.destination, id);
  assert.deepEqual(listed, ascending(blocks.keys()));
  // An image of an encrypted snapshot has random data elsewhere.
  if (!encrypted) await assertCopy(regions, id, { blocks, volumeSize, blockSize: BLOCK }, listed);
  regions.destination.clearLog();
}

async function check({ layers, sizes, encryption, workers, ...pages }: Chain): Promise<void> {
  const [sourceEncrypted, encrypted] = encryption;
  const regions = await openRegions({ blockSize: BLOCK, ...pages }, { encryptedByDefault: encrypted });
  const { source } = regions;
  try {
    const own = layers.map(({ data, zeros }, at) => {
      const blocks: Blocks = new Map();
      for (const block of zeros) blocks.set(block, Buffer.alloc(BLOCK));
      for (const block of data) blocks.set(block, randomBytes(BLOCK));
      for (const block of blocks.keys()) if (block * BLOCK >= sizes[at]! * GIB) blocks.delete(block);
      return blocks;
    }) as [Blocks, Blocks];
    const [first, changes] = own;
    const gone = layers[1].gone.filter((block) => first.has(block) && !changes.has(block));
    const base = await source.putSnapshot({
      volumeSizeGiB: sizes[0],
      blocks: first,
      encrypted: sourceEncrypted,
    });
    const next = await source.putSnapshot({ volumeSizeGiB: sizes[1], blocks: changes, parent: base, gone });
    const options: Omit<CopyOptions, 'snapshotId'> = { ...regions.service, workers, skipUnlisted: true };

    const parent = await copySnapshot({ ...options, snapshotId: base });
    assertRequests(regions, first.keys(), first.keys());
    await checkListed(regions, parent.snapshotId, first, sizes[0] * GIB, encrypted);

    const whole = new Map([...first, ...changes]);
    for (const block of gone) whole.delete(block);
    const full = await copySnapshot({ ...options, snapshotId: next });
    assertRequests(regions, whole.keys(), whole.keys());
    await checkListed(regions, full.snapshotId, whole, sizes[1] * GIB, encrypted);

    const parentSnapshotId = parent.snapshotId;
    const update = await copySnapshot({ ...options, snapshotId: next, since: base, parentSnapshotId });
    assertRequests(regions, changes.keys(), [...changes.keys(), ...gone]);
    for (const block of gone) whole.set(block, Buffer.alloc(BLOCK));
    await checkListed(regions, update.snapshotId, whole, sizes[1] * GIB, encrypted);
    assert.equal(update.bytesDone, sizes[1] * GIB);
    assert.deepEqual([update.retries, update.zerosSent], [0, gone.length]);
  } finally {
    await regions.close();
  }
}

test('copies of any chain list the same blocks with the same bytes; only what changed is sent, once', async (t) => {
  process.env.STATE_DIRECTORY = scratch(t);
  await assertProperty(t, fc.asyncProperty(chains, check), 8);
});

test('an encrypted copy of any chain reads as the source, in every block', async (t) => {
  process.env.STATE_DIRECTORY = scratch(t);
  const blocks = fc.record({ data: someBlocks, zeros: someBlocks, changes: someBlocks, gone: someBlocks });
  const property = fc.asyncProperty(blocks, async ({ data, zeros, changes, gone: removed }) => {
    const regions = await openRegions({ blockSize: BLOCK }, { encryptedByDefault: true });
    try {
      const first: Blocks = new Map(zeros.map((block) => [block % 1024, Buffer.alloc(BLOCK)]));
      for (const block of data) first.set(block % 1024, randomBytes(BLOCK));
      const second: Blocks = new Map(changes.map((block) => [block, randomBytes(BLOCK)]));
      const gone = removed.filter((block) => first.has(block) && !second.has(block));
      const base = await regions.source.putSnapshot({ volumeSizeGiB: 1, blocks: first });
      const next = await regions.source.putSnapshot({ volumeSizeGiB: 2, blocks: second, parent: base, gone });
      const options = { ...regions.service };
      const { snapshotId: parentSnapshotId } = await copySnapshot({ ...options, snapshotId: base });
      const update = { ...options, snapshotId: next, since: base, parentSnapshotId };
      const { snapshotId } = await copySnapshot(update);
      const whole = new Map([...first, ...second]);
      for (const block of gone) whole.delete(block);
      const zeroBlock = Buffer.alloc(BLOCK);
      const all = new Map(
        Array.from({ length: 2048 }, (_, block) => [block, whole.get(block) ?? zeroBlock] as const),
      );
      const listed = await listedBlocks(regions.destination, snapshotId);
      await assertCopy(regions, snapshotId, { blocks: all, volumeSize: 2 * GIB, blockSize: BLOCK }, listed);
    } finally {
      await regions.close();
    }
  });
  await assertProperty(t, property, 1);
});
