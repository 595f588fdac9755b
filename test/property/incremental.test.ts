/**
 * Any chain of three related snapshots, with listed, zero, changed, gone and grown blocks, to files and devices: an
 * incremental download from any to any other is as right as a full one, and fetches no more than what changed, the proof
 * and the ends.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { closeSync, ftruncateSync, openSync, statSync, writeSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Emulator } from '../../src/emulator/index.ts';
import { downloadSnapshot } from '../../src/index.ts';
import '../support/in-memory.ts';
import { forgetCache, needsLoop, Scratch } from '../support/loop.ts';
import { firstWrongBlock, GIB, startService } from '../support/service.ts';
import { assertProperty } from './property.ts';

const BLOCK = 2 ** 20;
/** In volumes of 1 and 2 GiB: both ends, the middle, and what lies beyond the smaller. */
const someBlocks = fc.uniqueArray(
  fc.oneof(fc.nat(40), fc.nat(2047), fc.constantFrom(0, 1, 1022, 1023, 1024, 2046, 2047)),
  { maxLength: 14 },
);

const layer = fc.record({ data: someBlocks, zeros: someBlocks, gone: someBlocks });

const chains = fc.record({
  layers: fc.tuple(layer, layer, layer),
  sizes: fc.constantFrom([1, 1, 1], [1, 1, 2], [1, 2, 2]),
  order: fc.constantFrom([0, 1, 2], [0, 2, 1], [2, 1, 0], [1, 0, 2]),
  workers: fc.integer({ min: 1, max: 8 }),
  pageSize: fc.integer({ min: 2, max: 12 }),
});

type Chain = typeof chains extends fc.Arbitrary<infer Value> ? Value : never;

interface Snapshot {
  readonly id: string;
  readonly volumeSize: number;
  /** All blocks, also those of its ancestors. */
  readonly blocks: Map<number, Buffer>;
}

/** Puts the chain into the emulator. */
async function putChain(emulator: Emulator, { layers, sizes }: Chain): Promise<Snapshot[]> {
  const snapshots: Snapshot[] = [];
  for (const [at, { data, zeros, gone }] of layers.entries()) {
    const parent = snapshots.at(-1);
    const volumeSize = sizes[at]! * GIB;
    const own = new Map<number, Buffer>();
    for (const block of zeros) own.set(block, Buffer.alloc(BLOCK));
    for (const block of data) own.set(block, randomBytes(BLOCK));
    for (const block of own.keys()) if (block * BLOCK >= volumeSize) own.delete(block);
    const removed = gone.filter((block) => !own.has(block) && parent?.blocks.has(block));
    const blocks = new Map([...(parent?.blocks ?? []), ...own]);
    for (const block of removed) blocks.delete(block);
    const id = await emulator.putSnapshot({
      volumeSizeGiB: sizes[at]!,
      blocks: own,
      ...(parent === undefined ? {} : { parent: parent.id, gone: removed }),
    });
    snapshots.push({ id, volumeSize, blocks });
  }
  return snapshots;
}

/** Blocks that differ in the two lists at most: written in one, gone, or beyond the smaller volume. */
function changedBlocks(base: Snapshot, next: Snapshot): number {
  return [...next.blocks].filter(([block, data]) => base.blocks.get(block) !== data).length;
}

/** @param medium the file with the target's bytes; `target` holds nothing yet */
async function check(emulator: Emulator, chain: Chain, target: string, medium: string): Promise<void> {
  const snapshots = await putChain(emulator, chain);
  const [first, ...rest] = chain.order.map((at) => snapshots[at]!) as [Snapshot, ...Snapshot[]];
  const isFile = target === medium;
  const file = openSync(medium, 'w');
  ftruncateSync(file, isFile ? first.volumeSize : 2 * GIB);
  for (const [block, data] of first.blocks) writeSync(file, data, 0, BLOCK, block * BLOCK);
  // A device keeps what lies beyond the volume; where the volume grows, that must become zeros.
  if (!isFile && first.volumeSize === GIB) writeSync(file, randomBytes(BLOCK), 0, BLOCK, 1_500 * BLOCK);
  closeSync(file);
  if (!isFile) await forgetCache(target);
  const service = { endpoint: emulator.url, region: 'us-east-1' };
  const { workers } = chain;
  let base = first;
  for (const next of rest) {
    emulator.clearLog();
    await downloadSnapshot({ since: base.id, snapshotId: next.id, target, workers, ...service });
    if (isFile) assert.equal(statSync(medium).size, next.volumeSize);
    const within = new Map([...next.blocks].filter(([block]) => block * BLOCK < next.volumeSize));
    assert.equal(await firstWrongBlock(target, within, next.volumeSize, BLOCK), undefined);
    const gets = emulator.requests('GetSnapshotBlock').filter(({ snapshotId }) => snapshotId === next.id);
    assert.ok(gets.length <= changedBlocks(base, next) + 8, `${gets.length} requests`);
    const indexes = gets.map(({ blockIndex }) => blockIndex);
    assert.equal(new Set(indexes).size, indexes.length, 'no block is fetched twice');
    base = next;
  }
}

test('an incremental download of any chain to a file is right, and fetches only what changed', async (t) => {
  const scratch = await Scratch.for(t);
  const target = scratch.path('disk.img');
  const property = fc.asyncProperty(chains, async (chain) => {
    const { emulator } = await startService(t, { blockSize: BLOCK, pageSize: chain.pageSize });
    await check(emulator, chain, target, target);
    await emulator.close();
  });
  await assertProperty(t, property, 5);
});

test(
  'an incremental download of any chain to a device is right, and fetches only what changed',
  needsLoop,
  async (t) => {
    const scratch = await Scratch.for(t);
    process.env.STATE_DIRECTORY = scratch.directory;
    const values = [chains, fc.constantFrom(512, 4_096)] as const;
    const property = fc.asyncProperty(...values, async (chain, sectorSize) => {
      const { emulator } = await startService(t, { blockSize: BLOCK, pageSize: chain.pageSize });
      const { device, backing } = await scratch.loop({ bytes: 2 * GIB, sectorSize });
      await check(emulator, chain, device, backing);
      await scratch.detach(device);
      await emulator.close();
    });
    await assertProperty(t, property, 3);
  },
);
