import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import type { EbsDirectApi, ListBlocksRequest } from '../../src/ebs/api.ts';
import { listBlocks } from '../../src/ebs/list/block-list.ts';
import type { ListRange } from '../../src/ebs/list/pages.ts';
import { ColdsnapError } from '../../src/errors.ts';
import { GIB } from '../../src/geometry.ts';
import { until } from '../support/until.ts';

const BLOCK = 524_288;

/** Pages take time of this clock, so that a busy machine does not make a fast service slow. */
const clock = { now: 0 };
mock.method(performance, 'now', () => clock.now);

/**
 * A service that lists these blocks of a 100 GiB volume, 100 per page, each page after `delayMs`.
 * @param emptyPages send an empty page before each
 */
function service(indexes: readonly number[], delayMs: number, emptyPages = false) {
  const requests: ListBlocksRequest[] = [];
  const open = { now: 0, most: 0 };
  const listSnapshotBlocks: EbsDirectApi['listSnapshotBlocks'] = async (request) => {
    requests.push(request);
    open.most = Math.max(open.most, ++open.now);
    const due = clock.now + delayMs;
    await new Promise(setImmediate);
    clock.now = Math.max(clock.now, due);
    open.now--;
    const from =
      request.pageToken === undefined
        ? (request.startingBlockIndex ?? 0)
        : Number.parseInt(request.pageToken, 10);
    if (emptyPages && !request.pageToken?.endsWith(' full'))
      return { blocks: [], volumeSizeGiB: 100, blockSize: BLOCK, nextToken: `${from} full` };
    const rest = indexes.filter((index) => index >= from);
    const blocks = rest.slice(0, 100).map((blockIndex) => ({ blockIndex, blockToken: 'token' }));
    const next = rest[100];
    return {
      blocks,
      volumeSizeGiB: 100,
      blockSize: BLOCK,
      ...(next === undefined ? {} : { nextToken: `${next}` }),
    };
  };
  return { api: { listSnapshotBlocks } as EbsDirectApi, requests, open };
}

async function indexesOf(
  api: EbsDirectApi,
  range: ListRange = {},
  usePage = async () => {},
): Promise<number[]> {
  const indexes: number[] = [];
  for await (const page of listBlocks(api, 'snap-1', range)) {
    assert.equal(page.volumeSize, 100 * GIB);
    indexes.push(...page.entries.map((entry) => entry.blockIndex));
    await usePage();
  }
  return indexes;
}

const every = (step: number, from = 0, to = 204_800) =>
  Array.from({ length: Math.ceil((to - from) / step) }, (_, at) => from + at * step);

for (const [what, indexes] of [
  ['evenly spread', every(50)],
  ['dense at first and then sparse', [...every(3, 0, 6_000), ...every(120, 6_000)]],
  ['sparse at first and then dense', [...every(400, 0, 150_000), ...every(7, 150_000, 170_000)]],
  ['empty at its end', every(9, 0, 30_000)],
] as const) {
  test(`a list that is the bottleneck, ${what}, is read in parallel segments and yielded in order`, async () => {
    const { api, open } = service(indexes, 55);
    assert.deepEqual(await indexesOf(api), indexes);
    assert.ok(open.most >= 2 && open.most <= 8, `${open.most} at once`);
  });
}

test('parallel segments take hardly more requests than consecutive pages', async () => {
  for (const step of [1, 7]) {
    const indexes = every(step, 0, 10_000 * step);
    const { api, requests, open } = service(indexes, 55);
    assert.deepEqual(await indexesOf(api), indexes);
    assert.ok(open.most >= 2);
    assert.ok(requests.length <= 120, `${requests.length} requests for 100 pages, a block in ${step}`);
  }
});

test('empty pages do not shrink the segments', async () => {
  const indexes = every(10, 0, 40_000);
  const { api, requests } = service(indexes, 55, true);
  assert.deepEqual(await indexesOf(api), indexes);
  // 40 pages, each after an empty one, and some for segments that are too small, too large or empty.
  assert.ok(requests.length < 200, `${requests.length} requests`);
});

test('segments that are too small grow again', async () => {
  // One block per page at first, then a wide gap.
  const indexes = [...every(1, 0, 16), 200_000];
  const { api, requests } = service(indexes, 55);
  const onePerPage: EbsDirectApi = {
    ...api,
    listSnapshotBlocks: async (request) => {
      const page = await api.listSnapshotBlocks(request);
      const [first, second] = page.blocks;
      const { nextToken: _, ...rest } = page;
      const next = second === undefined ? {} : { nextToken: `${second.blockIndex}` };
      return { ...rest, blocks: first === undefined ? [] : [first], ...next };
    },
  };
  assert.deepEqual(await indexesOf(onePerPage), indexes);
  assert.ok(requests.length < 300, `${requests.length} requests`);
});

test('for a consumer that is slower than the list, exactly one page is read ahead', async () => {
  const indexes = every(100);
  const { api, requests, open } = service(indexes, 2);
  const slow = async () => {
    await new Promise(setImmediate);
    clock.now += 12;
  };
  assert.deepEqual(await indexesOf(api, {}, slow), indexes);
  assert.equal(requests.length, Math.ceil(indexes.length / 100));
  assert.equal(open.most, 1);
});

test('a service that replies fast is not listed in parallel, which would exceed its quota', async () => {
  const { api, open } = service(every(100), 5);
  await indexesOf(api);
  assert.equal(open.most, 1);
});

test('a parallel list covers exactly its range', async () => {
  const { api } = service(every(10), 55);
  assert.deepEqual(await indexesOf(api, { from: 5_000, below: 60_005 }), every(10, 5_000, 60_005));
});

test('a failure in a later segment is thrown in its turn, and no page after it is yielded', async () => {
  const indexes = every(50);
  const { api } = service(indexes, 55);
  const failing: EbsDirectApi = {
    ...api,
    listSnapshotBlocks: async (request) => {
      if ((request.startingBlockIndex ?? 0) > 100_000)
        throw new ColdsnapError('permanent', 'SERVICE_REJECTED', 'refused');
      return api.listSnapshotBlocks(request);
    },
  };
  const seen: number[] = [];
  const reading = (async () => {
    for await (const page of listBlocks(failing, 'snap-1'))
      seen.push(...page.entries.map((entry) => entry.blockIndex));
  })();
  await assert.rejects(reading, { code: 'SERVICE_REJECTED' });
  assert.deepEqual(seen, indexes.slice(0, seen.length));
  assert.ok(seen.length > 1_000);
});

test('no request is in flight after a consumer stops early', async () => {
  const { api, open } = service(every(50), 55);
  let pages = 0;
  for await (const _ of listBlocks(api, 'snap-1')) if (++pages === 12) break;
  await until(() => open.now === 0);
});
