/** Snapshots that one tool uploads and the other downloads, with a strict emulator: the images are identical. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { closeSync, ftruncateSync, openSync, rmSync, writeSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { BLOCK, firstWrongBlock, GIB, randomBlocks } from '../support/service.ts';
import { ours, type Tool, Workplace } from '../support/workplace.ts';
import { needsBoth, needsPeer, peer } from './tools.ts';

/** Blocks at both ends, consecutive and single ones, and one of zeros. */
const someBlocks = () => randomBlocks([0, 1, 2, 17, 100, 101, 1024, 2047], [500]);

/** Writes an image file with these blocks and holes between them. */
function writeImage(path: string, blocks: ReadonlyMap<number, Uint8Array>, size = GIB): void {
  const file = openSync(path, 'wx');
  for (const [index, data] of blocks) writeSync(file, data, 0, data.length, index * BLOCK);
  ftruncateSync(file, size);
  closeSync(file);
}

async function assertImage(path: string, blocks: ReadonlyMap<number, Uint8Array>, size = GIB): Promise<void> {
  assert.equal(await firstWrongBlock(path, blocks, size), undefined, `first wrong block of ${path}`);
}

test('the other tool downloads a snapshot listed in short and empty pages', needsPeer, async (t) => {
  const place = await Workplace.for(t, { pageSize: 3, emptyPages: true });
  const blocks = someBlocks();
  const id = await place.emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
  await place.succeed(peer, 'download', '--no-progress', id, 'disk.img');
  await assertImage(place.path('disk.img'), blocks);
  const gets = place.emulator.requests('GetSnapshotBlock').filter(({ status }) => status === 200);
  assert.equal(gets.length, blocks.size);
});

test('this tool restores a snapshot that the other tool uploaded', needsBoth, async (t) => {
  const place = await Workplace.for(t, { completionDelayMs: 200, notVisibleMs: 100 });
  const blocks = someBlocks();
  writeImage(place.path('source.img'), blocks);
  const flags = ['--omit-zero-blocks', '--description', 'a disk', '--tag', 'Key=a,Value=b'];
  const id = await place.succeed(peer, 'upload', ...flags, 'source.img');
  await place.succeed(peer, 'wait', '--seconds-between-attempts', '1', '--successes-required', '1', id);
  const snapshot = place.emulator.snapshot(id)!;
  assert.deepEqual(
    [snapshot.status, snapshot.description, snapshot.tags, snapshot.volumeSizeGiB],
    ['completed', 'a disk', { a: 'b' }, 1],
  );
  await place.succeed(ours, 'download', id, 'ours.img');
  await assertImage(place.path('ours.img'), blocks);
});

test('the other tool restores a snapshot that this tool uploaded', needsBoth, async (t) => {
  const place = await Workplace.for(t, { completionDelayMs: 200 });
  const blocks = someBlocks();
  writeImage(place.path('source.img'), blocks);
  const quickly = ['--seconds-between-attempts', '1', '--successes-required', '1'];
  const id = await place.succeed(ours, 'upload', '--omit-zero-blocks', '--wait', ...quickly, 'source.img');
  assert.equal(place.emulator.snapshot(id)?.status, 'completed');
  await place.succeed(peer, 'download', id, 'peer.img');
  await assertImage(place.path('peer.img'), blocks);
});

test('each tool restores a child snapshot that the other uploaded', needsBoth, async (t) => {
  const place = await Workplace.for(t);
  const base = someBlocks();
  const parent = await place.emulator.putSnapshot({ volumeSizeGiB: 1, blocks: base });
  const changed = new Map([...base, [3, randomBytes(BLOCK)], [100, randomBytes(BLOCK)]]);
  writeImage(place.path('source.img'), changed);
  for (const [uploader, downloader] of [
    [peer, ours],
    [ours, peer],
  ] as const) {
    const id = await place.succeed(uploader, 'upload', '--parent-snapshot-id', parent, 'source.img');
    await place.succeed(downloader, 'download', id, `${id}.img`);
    await assertImage(place.path(`${id}.img`), changed);
  }
});

/** An image: the kinds of its blocks, its length in bytes, and the treatment of zeros. */
const images = fc.record({
  blocks: fc.dictionary(
    fc.integer({ min: 0, max: 39 }).map(String),
    fc.constantFrom('data', 'zeros', 'hole'),
  ),
  /** Bytes by which the image is shorter than its last block. */
  missing: fc.integer({ min: 0, max: BLOCK - 1 }),
  omitZeros: fc.boolean(),
  workers: fc.constantFrom(1, 2, 64),
});

test('any image that one tool uploads and the other downloads is unchanged', needsBoth, async (t) => {
  const place = await Workplace.for(t);
  const roundTrip = async (
    uploader: Tool,
    downloader: Tool,
    image: typeof images extends fc.Arbitrary<infer T> ? T : never,
  ) => {
    const kinds = Object.entries(image.blocks).map(([index, kind]) => [Number(index), kind] as const);
    const count = Math.max(1, ...kinds.map(([index]) => index + 1));
    const size = count * BLOCK - image.missing;
    const blocks = new Map<number, Buffer>();
    for (const [index, kind] of kinds) {
      if (kind === 'hole') continue;
      const block = kind === 'data' ? randomBytes(BLOCK) : Buffer.alloc(BLOCK);
      blocks.set(index, index === count - 1 ? block.fill(0, BLOCK - image.missing) : block);
    }
    writeImage(place.path('source.img'), blocks, size);
    const flags = ['--workers', String(image.workers), ...(image.omitZeros ? ['--omit-zero-blocks'] : [])];
    const id = await place.succeed(uploader, 'upload', ...flags, 'source.img');
    const listed = place.emulator.snapshot(id)!.writtenBlocks;
    await place.succeed(downloader, 'download', '--workers', String(image.workers), id, 'copy.img');
    await assertImage(place.path('copy.img'), blocks);
    for (const name of ['source.img', 'copy.img']) rmSync(place.path(name));
    return listed.map((index) => [index, blocks.has(index)]);
  };
  await fc.assert(
    fc.asyncProperty(images, async (image) => {
      const [byPeer, byOurs] = [await roundTrip(peer, ours, image), await roundTrip(ours, peer, image)];
      assert.deepEqual(byOurs, byPeer, 'both put the same blocks');
    }),
    { numRuns: 6 },
  );
});
