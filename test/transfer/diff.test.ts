import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type BlockChange, diffSnapshots } from '../../src/index.ts';
import { BLOCK, GIB, randomBlocks, recorder, startService } from '../support/service.ts';

/** `changed 0-524288` … */
function ranges() {
  const lines: string[] = [];
  const onRange = async (change: BlockChange, { start, end }: { start: number; end: number }) => {
    lines.push(`${change} ${start / BLOCK}-${end / BLOCK}`);
  };
  return { lines, onRange };
}

const count = (blocks: number) => ({ blocks, bytes: blocks * BLOCK });

test('counts changed, added and gone blocks, and lists only', async (t) => {
  const { emulator, service } = await startService(t);
  const first = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: randomBlocks([0, 1, 2, 3, 9]) });
  const second = await emulator.putSnapshot({
    volumeSizeGiB: 2,
    parent: first,
    blocks: randomBlocks([1, 4, 5, 4095]),
    gone: [2, 3],
  });
  const { lines, onRange } = ranges();
  assert.deepEqual(await diffSnapshots({ ...service, first, second, onRange }), {
    first,
    second,
    volumeSize: 2 * GIB,
    blockSize: BLOCK,
    changed: count(1),
    added: count(3),
    gone: count(2),
    cost: { requests: 5, dollars: 0.0000126, seconds: 0.004 },
  });
  assert.deepEqual(lines, ['changed 1-2', 'gone 2-4', 'changed 4-6', 'changed 4095-4096']);
  assert.deepEqual(
    emulator.log.map(({ operation }) => operation),
    ['ListChangedBlocks'],
  );
});

test('compares in either order, and ends with the volume of the second snapshot', async (t) => {
  const { emulator, service } = await startService(t);
  const small = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: randomBlocks([0]) });
  const large = await emulator.putSnapshot({
    volumeSizeGiB: 2,
    parent: small,
    blocks: randomBlocks([7, 3000]),
  });
  const back = await diffSnapshots({ ...service, first: large, second: small });
  assert.deepEqual(
    [back.volumeSize, back.changed, back.added, back.gone],
    [GIB, count(0), count(0), count(1)],
  );
});

test('equal snapshots differ in nothing, also a snapshot and itself', async (t) => {
  const { emulator, service } = await startService(t);
  const first = await emulator.putSnapshot({ volumeSizeGiB: 3, blocks: randomBlocks([0, 5]) });
  const second = await emulator.putSnapshot({ volumeSizeGiB: 3, blocks: {}, parent: first });
  for (const other of [second, first]) {
    const { lines, onRange } = ranges();
    const diff = await diffSnapshots({ ...service, first, second: other, mapCells: 2, onRange });
    assert.deepEqual([diff.changed, diff.added, diff.gone], [count(0), count(0), count(0)]);
    assert.deepEqual([diff.volumeSize, diff.blockSize, diff.map, lines], [3 * GIB, BLOCK, [0, 0], []]);
    assert.equal(diff.cost.requests, 1);
  }
});

test('numbers are exact at 64 TiB', async (t) => {
  const { emulator, service } = await startService(t);
  const last = (65_536 * GIB) / BLOCK - 1;
  const first = await emulator.putSnapshot({ volumeSizeGiB: 65_536, blocks: randomBlocks([last]) });
  const second = await emulator.putSnapshot({
    volumeSizeGiB: 65_536,
    parent: first,
    blocks: {},
    gone: [last],
  });
  const { lines, onRange } = ranges();
  const { volumeSize, gone } = await diffSnapshots({ ...service, first, second, onRange });
  assert.deepEqual([volumeSize, gone], [70_368_744_177_664, count(1)]);
  assert.deepEqual(lines, [`gone ${last}-${last + 1}`]);
});

test('unrelated snapshots are an error with the reason of the service', async (t) => {
  const { emulator, service } = await startService(t);
  const [first, second] = [
    await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: {} }),
    await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: {} }),
  ];
  await assert.rejects(diffSnapshots({ ...service, first, second }), {
    class: 'permanent',
    code: 'UNRELATED_SNAPSHOTS',
  });
  await assert.rejects(diffSnapshots({ ...service, first: 'x', second }), { code: 'BAD_SNAPSHOT_ID' });
  await assert.rejects(diffSnapshots({ ...service, first, second, mapCells: 1.5 }), {
    code: 'BAD_MAP_CELLS',
  });
});

test('retries, and resumes a list whose page token has expired', async (t) => {
  const { emulator, service } = await startService(t, { pageSize: 100 });
  const data = Buffer.alloc(BLOCK, 1);
  const blocks = new Map(Array.from({ length: 250 }, (_, index) => [index * 2, data]));
  const first = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: {} });
  const second = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks, parent: first });
  emulator.setFaults([
    { operation: 'ListChangedBlocks', nth: 1, action: { type: 'drop' } },
    {
      operation: 'ListChangedBlocks',
      nth: 3,
      action: { type: 'error', status: 400, code: 'ValidationException', reason: 'INVALID_PAGE_TOKEN' },
    },
  ]);
  const { events, onEvent } = recorder();
  const { added } = await diffSnapshots({ ...service, first, second, onEvent });
  assert.deepEqual(added, count(250));
  assert.ok(events.some(({ type }) => type === 'retry'));
  assert.ok(events.some((event) => event.type === 'phase' && event.phase === 'listing'));
});

test('finds exactly what was written and removed, for any pair of related snapshots', async (t) => {
  const { emulator, service } = await startService(t, { pageSize: 100, emptyPages: true });
  const indexes = fc.uniqueArray(fc.integer({ min: 0, max: 40 }), { maxLength: 15 });
  const data = Buffer.alloc(BLOCK, 1);
  const withData = (list: readonly number[]) => new Map(list.map((index) => [index, data]));
  await fc.assert(
    fc.asyncProperty(indexes, indexes, indexes, fc.boolean(), async (base, put, removed, forward) => {
      const gone = removed.filter((index) => base.includes(index) && !put.includes(index));
      const parent = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: withData(base) });
      const child = await emulator.putSnapshot({ volumeSizeGiB: 1, parent, blocks: withData(put), gone });
      const [first, second] = forward ? [parent, child] : [child, parent];
      const { lines, onRange } = ranges();
      const diff = await diffSnapshots({ ...service, first, second, onRange });
      const both = put.filter((index) => base.includes(index));
      const onlyChild = put.filter((index) => !base.includes(index));
      const [added, lost] = forward ? [onlyChild, gone] : [gone, onlyChild];
      assert.deepEqual(
        [diff.changed.blocks, diff.added.blocks, diff.gone.blocks],
        [both.length, added.length, lost.length],
      );
      const listed = lines.flatMap((line) => {
        const [change, range] = line.split(' ') as [string, string];
        const [start, end] = range.split('-').map(Number) as [number, number];
        return Array.from({ length: end - start }, (_, at) => `${change} ${start + at}`);
      });
      const expected = [
        ...[...both, ...added].map((index) => `changed ${index}`),
        ...lost.map((index) => `gone ${index}`),
      ];
      assert.deepEqual(listed.sort(), expected.sort());
    }),
    { numRuns: 25 },
  );
});

test('an onRange that never returns does not outlast an abort', async (t) => {
  const { emulator, service } = await startService(t);
  const first = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: randomBlocks([3]) });
  const second = await emulator.putSnapshot({ volumeSizeGiB: 1, parent: first, blocks: randomBlocks([4]) });
  const controller = new AbortController();
  const onRange = () => {
    controller.abort();
    return new Promise<void>(() => {});
  };
  const { signal } = controller;
  await assert.rejects(diffSnapshots({ ...service, first, second, signal, onRange }), { class: 'aborted' });
});
