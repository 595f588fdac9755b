/** Which blocks of a source are data and which are holes. */
import { strict as assert } from 'node:assert';
import { open, truncate, writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import fc from 'fast-check';
import { blockRuns } from '../../src/image/extents.ts';
import { openSource } from '../../src/image/open-source.ts';
import type { SourceExtent } from '../../src/image/source.ts';
import { run, Scratch } from '../support/loop.ts';
import { assertFails, KiB, MiB } from './blocks.ts';

async function all(extents: AsyncIterable<SourceExtent>): Promise<SourceExtent[]> {
  const list: SourceExtent[] = [];
  for await (const extent of extents) list.push(extent);
  return list;
}

const data = (offset: number, length: number): SourceExtent => ({ offset, length, kind: 'data' });
const hole = (offset: number, length: number): SourceExtent => ({ offset, length, kind: 'hole' });

test('runs alternate, cover the source in whole blocks, and call a block a hole only if no data touch it', async () => {
  const cases = fc.record({
    blockSize: fc.integer({ min: 1, max: 8 }),
    lengths: fc.array(fc.integer({ min: 0, max: 20 }), { minLength: 1, maxLength: 30 }),
    dataFirst: fc.boolean(),
  });
  await fc.assert(
    fc.asyncProperty(cases, async ({ blockSize, lengths, dataFirst }) => {
      const bytes: boolean[] = [];
      const ranges: { start: number; end: number }[] = [];
      for (const [i, length] of lengths.entries()) {
        const isData = (i % 2 === 0) === dataFirst;
        if (isData) ranges.push({ start: bytes.length, end: bytes.length + length });
        for (let n = 0; n < length; n++) bytes.push(isData);
      }
      const runs = await all(blockRuns(ranges, bytes.length, blockSize));
      let position = 0;
      for (const [i, run] of runs.entries()) {
        assert.equal(run.offset, position);
        assert.ok(run.length > 0 && run.length % blockSize === 0);
        assert.notEqual(run.kind, runs[i - 1]?.kind);
        for (let block = position; block < position + run.length; block += blockSize) {
          assert.equal(run.kind === 'data', bytes.slice(block, block + blockSize).includes(true));
        }
        position += run.length;
      }
      assert.equal(position, Math.ceil(bytes.length / blockSize) * blockSize);
    }),
  );
});

test('a source is all data unless holes are requested', async (t) => {
  const scratch = await Scratch.for(t);
  const file = await open(scratch.path('sparse'), 'w');
  await file.truncate(3 * MiB + 1);
  await file.close();
  const source = await openSource(scratch.path('sparse'));
  assert.deepEqual(await all(source.extents(512 * KiB)), [data(0, 3.5 * MiB)]);
  await source.close();
});

test('holes of a sparse file are found, also right after it was written', async (t) => {
  const scratch = await Scratch.for(t);
  const path = scratch.path('sparse');
  const file = await open(path, 'w');
  await file.truncate(8 * MiB);
  await file.write(Buffer.alloc(4096, 1), 0, 4096, 2 * MiB + 300 * KiB);
  await file.write(Buffer.alloc(600 * KiB, 0), 0, 600 * KiB, 5 * MiB);
  const source = await openSource(path, { detectHoles: true });
  assert.deepEqual(await all(source.extents(512 * KiB)), [
    hole(0, 2 * MiB),
    data(2 * MiB, 512 * KiB),
    hole(2.5 * MiB, 2.5 * MiB),
    // Zeros that were written are not a hole.
    data(5 * MiB, MiB),
    hole(6 * MiB, 2 * MiB),
  ]);
  await source.close();
  await file.close();
});

test('a file that is one hole has no data', async (t) => {
  const scratch = await Scratch.for(t);
  const path = scratch.path('empty');
  const file = await open(path, 'w');
  await file.truncate(MiB + 1);
  await file.close();
  const source = await openSource(path, { detectHoles: true });
  assert.deepEqual(await all(source.extents(512 * KiB)), [hole(0, 1.5 * MiB)]);
  await source.close();
});

const entry = (start: number, length: number, zero: boolean, isData: boolean) => ({
  start,
  length,
  depth: 0,
  present: true,
  zero,
  data: isData,
  compressed: false,
  offset: start,
});

async function mapped(scratch: Scratch, map: unknown, size = MiB): Promise<Parameters<typeof openSource>> {
  await writeFile(scratch.path('image'), '');
  await truncate(scratch.path('image'), size);
  await writeFile(scratch.path('map.json'), typeof map === 'string' ? map : JSON.stringify(map));
  return [scratch.path('image'), { holesFromSidecar: scratch.path('map.json') }];
}

test('only ranges of a map without data that read as zeros are holes', async (t) => {
  const scratch = await Scratch.for(t);
  const quarter = MiB / 4;
  const map = [
    entry(0, quarter, true, false),
    entry(quarter, quarter, true, true),
    entry(2 * quarter, quarter, false, false),
    entry(3 * quarter, quarter, true, false),
  ];
  const source = await openSource(...(await mapped(scratch, map)));
  assert.deepEqual(await all(source.extents(64 * KiB)), [
    hole(0, quarter),
    data(quarter, 2 * quarter),
    hole(3 * quarter, quarter),
  ]);
  await source.close();
});

test('a map of an image that does not end on a sector may end on the next one', async (t) => {
  const scratch = await Scratch.for(t);
  const source = await openSource(...(await mapped(scratch, [entry(0, MiB, true, false)], MiB - 100)));
  assert.deepEqual(await all(source.extents(512 * KiB)), [hole(0, MiB)]);
  await source.close();
});

test('refuses a map that does not cover the image exactly, or is malformed', async (t) => {
  const scratch = await Scratch.for(t);
  const half = MiB / 2;
  const cases = [
    [[entry(0, half, false, true)], /it covers 524288 bytes, the image has 1048576/],
    [[entry(0, 2 * MiB, false, true)], /it covers 2097152 bytes/],
    [
      [entry(0, half, false, true), entry(half + 512, half - 512, true, false)],
      /entry 1 starts at 524800 and not/,
    ],
    [[entry(0, MiB, false, true), entry(half, half, true, false)], /entry 1 starts at 524288/],
    [[entry(512, MiB - 512, false, true)], /entry 0 starts at 512/],
    [[{ start: 0, length: MiB, data: true }], /entry 0 lacks/],
    [[{ ...entry(0, MiB, true, false), length: '1048576' }], /entry 0 lacks/],
    [[{ ...entry(0, MiB, true, false), zero: 1 }], /entry 0 lacks/],
    [[entry(0, 0, true, false), entry(0, MiB, true, true)], /entry 0 lacks/],
    [[null], /entry 0 lacks/],
    [[], /it covers 0 bytes/],
    [{}, /it is not a list/],
    ['[{"start": 0,', /it is not JSON/],
  ] as const;
  for (const [map, message] of cases) {
    const error = await assertFails(openSource(...(await mapped(scratch, map))), 'BAD_HOLE_MAP', message);
    assert.equal(error.class, 'usage');
  }
  const missing = openSource(scratch.path('image'), { holesFromSidecar: scratch.path('nowhere') });
  await assertFails(missing, 'BAD_HOLE_MAP', /it does not exist/);
});

test('a map may come through a pipe; while nobody writes, an abort ends the wait', async (t) => {
  const scratch = await Scratch.for(t);
  const [path] = await mapped(scratch, [], MiB);
  const pipe = scratch.path('pipe');
  await run('mkfifo', pipe);
  const stop = new AbortController();
  const waiting = openSource(path, { holesFromSidecar: pipe, signal: stop.signal });
  setImmediate(() => stop.abort());
  await assert.rejects(waiting, { class: 'aborted' });
  const [source] = await Promise.all([
    openSource(path, { holesFromSidecar: pipe }),
    writeFile(pipe, JSON.stringify([entry(0, MiB, true, false)])),
  ]);
  assert.ok(source.holeMapDigest);
  await source.close();
  await assertFails(openSource(path, { holesFromSidecar: '/dev/zero' }), 'BAD_HOLE_MAP', /no file/);
});
