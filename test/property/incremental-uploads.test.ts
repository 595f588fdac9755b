/**
 * Any chain of related images, with listed, zero, missing, gone and grown blocks: an incremental upload to any of them, with
 * any kind of base, reads back as its source, and puts exactly the blocks that differ.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Emulator } from '../../src/emulator/index.ts';
import { downloadSnapshot, uploadSnapshot } from '../../src/index.ts';
import '../support/in-memory.ts';
import { Scratch } from '../support/loop.ts';
import { firstWrongBlock, GIB, startService } from '../support/service.ts';
import { until } from '../support/until.ts';
import { assertProperty } from './property.ts';

const BLOCK = 2 ** 20;
const someBlocks = fc.uniqueArray(
  fc.oneof(fc.nat(40), fc.nat(1023), fc.constantFrom(0, 1, 1022, 1023, 1024, 2046, 2047)),
  { maxLength: 14 },
);

/** Blocks that get other contents, become zeros, or are no longer there. */
const layer = fc.record({ data: someBlocks, zeros: someBlocks, gone: someBlocks });

const chains = fc.record({
  layers: fc.tuple(layer, layer, layer, layer),
  /** GiB of the two snapshots and of the two images. */
  sizes: fc.constantFrom([1, 1, 1, 1], [1, 1, 2, 2], [1, 2, 2, 2], [1, 1, 1, 2]),
  bases: fc.tuple(
    fc.constantFrom('service', 'image', 'digests'),
    fc.constantFrom('service', 'image', 'digests'),
  ),
  /** Bytes that the images lack to whole blocks, or more. */
  short: fc.constantFrom(0, 1, BLOCK - 512, 3 * BLOCK),
  detectHoles: fc.boolean(),
  workers: fc.integer({ min: 1, max: 8 }),
  pageSize: fc.integer({ min: 2, max: 12 }),
});

type Chain = typeof chains extends fc.Arbitrary<infer Value> ? Value : never;
type Layer = Chain['layers'][number];

interface State {
  readonly id: string;
  readonly gib: number;
  /** The blocks that the snapshot lists, also those of its ancestors. */
  readonly listed: Map<number, Buffer>;
}

const zeros = Buffer.alloc(BLOCK);

/** The blocks that a layer changes. */
function changesOf({ data, zeros: zeroed }: Layer, gib: number): Map<number, Buffer> {
  const changes = new Map<number, Buffer>();
  for (const block of zeroed) changes.set(block, zeros);
  for (const block of data) changes.set(block, randomBytes(BLOCK));
  for (const block of changes.keys()) if (block * BLOCK >= gib * GIB) changes.delete(block);
  return changes;
}

async function putSnapshots(emulator: Emulator, chain: Chain, encrypted: boolean): Promise<State> {
  let parent: State | undefined;
  for (const at of [0, 1]) {
    const gib = chain.sizes[at]!;
    const own = changesOf(chain.layers[at]!, gib);
    const gone = chain.layers[at]!.gone.filter((block) => !own.has(block) && parent?.listed.has(block));
    const listed = new Map([...(parent?.listed ?? []), ...own]);
    for (const block of gone) listed.delete(block);
    const id = await emulator.putSnapshot({
      volumeSizeGiB: gib,
      blocks: own,
      encrypted,
      ...(parent === undefined ? {} : { parent: parent.id, gone }),
    });
    parent = { id, gib, listed };
  }
  return parent!;
}

/** Writes an image; blocks of zeros are holes, except those in `written`. */
function writeImage(
  path: string,
  blocks: ReadonlyMap<number, Buffer>,
  size: number,
  written: readonly number[] = [],
): Map<number, Buffer> {
  const file = openSync(path, 'w');
  ftruncateSync(file, size);
  const held = new Map<number, Buffer>();
  for (const [block, data] of blocks) {
    const length = Math.min(BLOCK, size - block * BLOCK);
    if (length <= 0) continue;
    const padded = Buffer.concat([data.subarray(0, length)], BLOCK);
    if (padded.equals(zeros) && !written.includes(block)) continue;
    writeSync(file, data, 0, length, block * BLOCK);
    held.set(block, padded);
  }
  closeSync(file);
  return held;
}

/** The blocks that have to be put: those that differ, and zeros over what an encrypted parent does not list. */
function expectedPuts(
  parent: State,
  source: ReadonlyMap<number, Buffer>,
  gib: number,
  encrypted: boolean,
): number[] {
  const puts: number[] = [];
  for (let block = 0; block < (gib * GIB) / BLOCK; block++) {
    const held = parent.listed.get(block);
    const wanted = source.get(block) ?? zeros;
    const unlisted = held === undefined && wanted.equals(zeros);
    if (unlisted ? encrypted : !wanted.equals(held ?? zeros)) puts.push(block);
  }
  return puts;
}

async function check(scratch: Scratch, emulator: Emulator, chain: Chain, encrypted: boolean): Promise<void> {
  const service = { endpoint: emulator.url, region: 'us-east-1' };
  const { workers, detectHoles, short } = chain;
  const path = (name: string) => scratch.path(name);
  let parent = await putSnapshots(emulator, chain, encrypted);
  const options = { force: true, workers, ...service };
  const first = path('parent.img');
  await downloadSnapshot({
    snapshotId: parent.id,
    target: first,
    saveDigests: path('p.digests'),
    ...options,
  });
  let parentImage = first;
  for (const at of encrypted ? [2] : [2, 3]) {
    const gib = chain.sizes[at]!;
    const { zeros: zeroed, gone } = chain.layers[at]!;
    const blocks = new Map([...parent.listed, ...changesOf(chain.layers[at]!, gib)]);
    for (const block of gone) blocks.delete(block);
    const source = path(`source-${at}.img`);
    const held = writeImage(source, blocks, gib * GIB - short, zeroed);
    const kind = chain.bases[at - 2];
    const base = kind === 'image' ? parentImage : kind === 'digests' ? path('p.digests') : undefined;
    emulator.clearLog();
    const result = await uploadSnapshot({
      source,
      parentSnapshotId: parent.id,
      incremental: true,
      volumeSizeGiB: gib,
      detectHoles,
      saveDigests: path('p.digests'),
      workers,
      ...(base === undefined ? {} : { base }),
      ...service,
    });
    const { snapshotId } = result;
    await until(() => emulator.snapshot(snapshotId)?.status !== 'pending');
    assert.equal(emulator.snapshot(snapshotId)?.status, 'completed');
    const image = await emulator.readImage(snapshotId);
    assert.equal(await firstWrongBlock(image, held, gib * GIB, BLOCK), undefined);
    const puts = emulator.requests('PutSnapshotBlock').map(({ blockIndex }) => blockIndex!);
    const expected = expectedPuts(parent, held, gib, encrypted);
    assert.deepEqual(
      puts.toSorted((a, b) => a - b),
      expected,
    );
    const { blocksTransferred, blocksSkipped, bytesDone } = result;
    assert.deepEqual(
      [blocksTransferred, blocksSkipped, bytesDone],
      [expected.length, (gib * GIB) / BLOCK - expected.length, gib * GIB],
    );
    const gets = emulator.requests('GetSnapshotBlock').map(({ blockIndex }) => blockIndex!);
    if (kind === 'service')
      assert.deepEqual(
        gets.toSorted((a, b) => a - b),
        [...parent.listed.keys()].toSorted((a, b) => a - b),
      );
    if (kind === 'digests') assert.deepEqual(gets, []);
    if (kind === 'image') assert.ok(gets.length <= 64);
    const listed = new Map(parent.listed);
    for (const block of expected) listed.set(block, held.get(block) ?? zeros);
    parent = { id: snapshotId, gib, listed };
    parentImage = path(`parent-${at}.img`);
    writeImage(parentImage, listed, gib * GIB);
  }
}

test('an incremental upload of any chain reads back as its source, and puts what differs', async (t) => {
  const scratch = await Scratch.for(t);
  const property = fc.asyncProperty(chains, async (chain) => {
    const { emulator } = await startService(t, { blockSize: BLOCK, pageSize: chain.pageSize });
    await check(scratch, emulator, chain, false);
    await emulator.close();
  });
  await assertProperty(t, property, 6);
});

test('an incremental upload over any encrypted parent puts zeros where it lists nothing', async (t) => {
  const scratch = await Scratch.for(t);
  const property = fc.asyncProperty(chains, async (chain) => {
    const { emulator } = await startService(t, { blockSize: BLOCK, pageSize: chain.pageSize });
    await check(scratch, emulator, { ...chain, sizes: [1, 1, 1, 1] }, true);
    await emulator.close();
  });
  await assertProperty(t, property, 1);
});
