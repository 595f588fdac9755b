/** Lists are streams of checked pages. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BlockPage, ChangedBlockPage, EbsDirectApi, ListBlocksRequest } from '../../src/ebs/api.ts';
import { listBlocks, listChangedBlocks } from '../../src/ebs/list/block-list.ts';
import { ColdsnapError } from '../../src/errors.ts';

const SIZES = { volumeSizeGiB: 1, blockSize: 524_288 };
const BLOCKS = 2048;

type Page = Partial<BlockPage> & { readonly indexes: readonly number[] };

/** A service that returns these pages, whose tokens are their numbers, and throws these errors. */
function service(pages: readonly (Page | Error)[]) {
  const asked: ListBlocksRequest[] = [];
  const answer = async (request: ListBlocksRequest): Promise<BlockPage> => {
    asked.push(request);
    const page = pages[asked.length - 1];
    if (page === undefined) throw new Error(`more requests than pages: ${JSON.stringify(request)}`);
    if (page instanceof Error) throw page;
    const { indexes, ...rest } = page;
    const blocks = indexes.map((blockIndex) => ({ blockIndex, blockToken: `t${blockIndex}` }));
    const last = asked.length === pages.length;
    return { ...SIZES, blocks, ...(last ? {} : { nextToken: String(asked.length) }), ...rest };
  };
  const api = { listSnapshotBlocks: answer } as unknown as EbsDirectApi;
  return { api, asked };
}

async function indexesOf(pages: AsyncIterable<{ entries: readonly { blockIndex: number }[] }>) {
  const indexes: number[] = [];
  for await (const page of pages) indexes.push(...page.entries.map((entry) => entry.blockIndex));
  return indexes;
}

const positions = (asked: readonly ListBlocksRequest[]) =>
  asked.map(({ pageToken, startingBlockIndex }) => pageToken ?? startingBlockIndex ?? 'start');

const expired = new ColdsnapError('expired-page-token', 'PAGE_TOKEN_EXPIRED', 'too late');

test('a list yields all its pages, with sizes in bytes', async () => {
  const { api, asked } = service([{ indexes: [0, 5] }, { indexes: [6] }, { indexes: [2047] }]);
  const sizes = new Set<string>();
  const pages: number[][] = [];
  for await (const { entries, volumeSize, blockSize } of listBlocks(api, 'snap-1')) {
    pages.push(entries.map((entry) => entry.blockIndex));
    sizes.add(`${volumeSize} ${blockSize}`);
  }
  assert.deepEqual(pages, [[0, 5], [6], [2047]]);
  assert.deepEqual([...sizes], [`${2 ** 30} 524288`]);
  assert.deepEqual(positions(asked), ['start', '1', '2']);
});

test('exactly one page is read ahead', async () => {
  const { api, asked } = service([{ indexes: [1] }, { indexes: [2] }, { indexes: [3] }, { indexes: [4] }]);
  const pages = listBlocks(api, 'snap-1');
  assert.equal(asked.length, 0);
  for (const count of [2, 3, 4, 4]) {
    await pages.next();
    await new Promise(setImmediate);
    assert.equal(asked.length, count);
  }
  assert.equal((await pages.next()).done, true);
});

test('empty pages do not end a list', async () => {
  const { api } = service([
    { indexes: [] },
    { indexes: [] },
    { indexes: [7] },
    { indexes: [] },
    { indexes: [9] },
  ]);
  assert.deepEqual(await indexesOf(listBlocks(api, 'snap-1')), [7, 9]);
});

test('a snapshot without blocks is one empty page', async () => {
  const { api } = service([{ indexes: [] }]);
  const pages = listBlocks(api, 'snap-1');
  const first = await pages.next();
  assert.ok(!first.done);
  assert.deepEqual(first.value.entries, []);
  assert.equal((await pages.next()).done, true);
});

test('an expired page token is replaced by the index after the last block', async () => {
  const { api, asked } = service([
    { indexes: [3, 8] },
    expired,
    { indexes: [9] },
    expired,
    { indexes: [20] },
  ]);
  assert.deepEqual(await indexesOf(listBlocks(api, 'snap-1')), [3, 8, 9, 20]);
  assert.deepEqual(positions(asked), ['start', '1', 9, '3', 10]);
});

test('an expired token after empty pages starts the list over', async () => {
  const { api, asked } = service([{ indexes: [] }, expired, { indexes: [4] }]);
  assert.deepEqual(await indexesOf(listBlocks(api, 'snap-1')), [4]);
  assert.deepEqual(positions(asked), ['start', '1', 'start']);
});

test('the sizes alone take one request, whatever the order of the list, and however much of it is to come', async () => {
  const { api, asked } = service([{ indexes: [7, 3] }, { indexes: [0] }]);
  const pages: unknown[] = [];
  for await (const page of listBlocks(api, 'snap-1', { below: 0 })) pages.push(page);
  assert.deepEqual(pages, [{ entries: [], volumeSize: 2 ** 30, blockSize: 524_288 }]);
  assert.deepEqual(asked, [{ snapshotId: 'snap-1', maxResults: 100 }]);
});

test('a list can start at one index and end below another', async () => {
  const { api, asked } = service([{ indexes: [100, 101] }, { indexes: [150, 200, 201] }, { indexes: [300] }]);
  assert.deepEqual(await indexesOf(listBlocks(api, 'snap-1', { from: 100, below: 200 })), [100, 101, 150]);
  assert.deepEqual(positions(asked), [100, '1']);
});

test('a list ends with the last block of the volume, even with a page token', async () => {
  const { api, asked } = service([{ indexes: [BLOCKS - 1], nextToken: 'more' }, { indexes: [] }]);
  assert.deepEqual(await indexesOf(listBlocks(api, 'snap-1')), [BLOCKS - 1]);
  assert.equal(asked.length, 1);
});

test('a failure of the page read ahead is thrown in its turn', async () => {
  const failure = new ColdsnapError('permanent', 'SERVICE_REJECTED', 'no');
  const { api } = service([{ indexes: [1] }, failure]);
  const pages = listBlocks(api, 'snap-1');
  await pages.next();
  await new Promise(setImmediate);
  await assert.rejects(pages.next(), (error) => error === failure);
});

test('the signal is passed to every request', async () => {
  const { signal } = new AbortController();
  const seen: unknown[] = [];
  const { api, asked } = service([{ indexes: [1] }, { indexes: [2] }]);
  const listSnapshotBlocks: EbsDirectApi['listSnapshotBlocks'] = (request, options) => {
    seen.push(options?.signal);
    return api.listSnapshotBlocks(request);
  };
  await indexesOf(listBlocks({ ...api, listSnapshotBlocks }, 'snap-1', { signal }));
  assert.deepEqual(seen, [signal, signal]);
  assert.ok(asked.every((request) => !('signal' in request)));
});

test('changed blocks keep the tokens of both sides', async () => {
  const changedBlocks = [
    { blockIndex: 1, firstBlockToken: 'a' },
    { blockIndex: 2, secondBlockToken: 'b' },
  ];
  const requests: unknown[] = [];
  const api = {
    listChangedBlocks: async (request: unknown): Promise<ChangedBlockPage> => {
      requests.push(request);
      return { ...SIZES, changedBlocks };
    },
  } as unknown as EbsDirectApi;
  for await (const page of listChangedBlocks(api, 'snap-1', 'snap-2'))
    assert.deepEqual(page.entries, changedBlocks);
  assert.deepEqual(requests, [{ firstSnapshotId: 'snap-1', secondSnapshotId: 'snap-2' }]);
});

test('a page that is not in order is sorted', async () => {
  let warnings = 0;
  const { api } = service([{ indexes: [5, 4, 2000] }, { indexes: [2047, 2001] }]);
  const list = listBlocks(api, 'snap-1', { onUnordered: () => warnings++ });
  assert.deepEqual(await indexesOf(list), [4, 5, 2000, 2001, 2047]);
  assert.equal(warnings, 0);
});

const shuffled: readonly (readonly number[][])[] = [
  [
    [5, 6],
    [1, 2],
  ],
  [[5, 6], [1, 2], [4], [], [3, 0]],
  [
    [9, 1],
    [8, 2],
    [7, 3],
  ],
];
for (const pages of shuffled) {
  test(`a list that is not in order over its pages is sorted, with one warning: ${JSON.stringify(pages)}`, async () => {
    let warnings = 0;
    const { api } = service(pages.map((indexes) => ({ indexes })));
    const found = await indexesOf(listBlocks(api, 'snap-1', { onUnordered: () => warnings++ })).catch(
      (error: unknown) => error,
    );
    assert.deepEqual(
      found,
      pages.flat().sort((a, b) => a - b),
    );
    assert.equal(warnings, 1);
  });
}

test('a list that turns out not to be in order after pages were used is rejected', async () => {
  const { api } = service([{ indexes: [1] }, { indexes: [2] }, { indexes: [3] }, { indexes: [0] }]);
  await assert.rejects(indexesOf(listBlocks(api, 'snap-1')), {
    code: 'BAD_LIST',
    message: /block 0 out of order/,
  });
});

test('a list that is not in order and has more than 4 million blocks is rejected', async () => {
  const pageSize = 500_000;
  let count = 0;
  const listSnapshotBlocks = async (): Promise<BlockPage> => {
    const from = (20 - count++) * pageSize;
    const blocks = Array.from({ length: pageSize }, (_, at) => ({ blockIndex: from + at, blockToken: 't' }));
    return { volumeSizeGiB: 65_536, blockSize: 524_288, blocks, nextToken: String(count) };
  };
  const api = { listSnapshotBlocks } as unknown as EbsDirectApi;
  await assert.rejects(indexesOf(listBlocks(api, 'snap-1')), { code: 'BAD_LIST', message: /4000000 blocks/ });
  assert.equal(count, 9);
});

test('a list that is not in order and never ends is rejected', async () => {
  let count = 0;
  const listSnapshotBlocks = async (): Promise<BlockPage> => {
    const blocks = count < 2 ? [{ blockIndex: 5 - count, blockToken: 't' }] : [];
    return { ...SIZES, blocks, nextToken: String(count++) };
  };
  const api = { listSnapshotBlocks } as unknown as EbsDirectApi;
  await assert.rejects(indexesOf(listBlocks(api, 'snap-1')), {
    code: 'BAD_LIST',
    message: /1000 empty pages/,
  });
  assert.ok(count <= 1_010);
});

const token = 'x'.repeat(5000);
const hostile: readonly [string, readonly Page[], RegExp][] = [
  ['a block outside the volume', [{ indexes: [BLOCKS] }], /lists block 2048, but the volume has 2048 blocks/],
  ['a negative index', [{ indexes: [-1] }], /block -1/],
  ['a fractional index', [{ indexes: [1.5] }], /block 1\.5/],
  ['an index that is not a number', [{ indexes: [Number.NaN] }], /block NaN/],
  ['a block twice', [{ indexes: [5, 5] }], /block 5 out of order/],
  ['a block of an earlier page', [{ indexes: [5, 6] }, { indexes: [6] }], /block 6 out of order/],
  ['a volume of 2^40 GiB', [{ indexes: [], volumeSizeGiB: 2 ** 40 }], /1099511627776 GiB/],
  ['a volume of 0 GiB', [{ indexes: [], volumeSizeGiB: 0 }], /0 GiB/],
  ['a volume without a size', [{ indexes: [], volumeSizeGiB: Number.NaN }], /NaN GiB/],
  ['blocks of 0 bytes', [{ indexes: [], blockSize: 0 }], /block size of 0 bytes/],
  ['blocks of a GiB', [{ indexes: [], blockSize: 2 ** 30 }], /block size of 1073741824 bytes/],
  ['blocks of 1,000 bytes', [{ indexes: [], blockSize: 1000 }], /block size of 1000 bytes/],
  [
    'blocks that do not divide the volume',
    [{ indexes: [], blockSize: 512 * 3 }],
    /not a multiple of its block size/,
  ],
  ['a volume that grows', [{ indexes: [1] }, { indexes: [2], volumeSizeGiB: 2 }], /changes the volume/],
  ['blocks that shrink', [{ indexes: [1] }, { indexes: [2], blockSize: 4096 }], /changes the volume/],
  ['an overlong page token', [{ indexes: [1], nextToken: token }, { indexes: [2] }], /overlong page token/],
];

for (const [what, pages, message] of hostile) {
  test(`a list with ${what} is rejected`, async () => {
    const { api } = service(pages);
    await assert.rejects(indexesOf(listBlocks(api, 'snap-1')), {
      class: 'permanent',
      code: /^BAD_(LIST|REPLY)$/,
      message,
    });
  });
}

for (const [what, blockToken] of [
  ['an overlong token', token],
  ['no token', ''],
] as const) {
  test(`a list with a block that has ${what} is rejected`, async () => {
    const page = { indexes: [], blocks: [{ blockIndex: 1, blockToken }] };
    await assert.rejects(indexesOf(listBlocks(service([page]).api, 'snap-1')), { code: 'BAD_LIST' });
  });
}

for (const [what, nextToken] of [
  ['always the same', () => 'same'],
  ['always different', (count: number) => `t${count}`],
] as const) {
  test(`endless empty pages are rejected, with a token that is ${what}`, async () => {
    let count = 0;
    const listSnapshotBlocks = async () => ({ ...SIZES, blocks: [], nextToken: nextToken(count++) });
    const api = { listSnapshotBlocks } as unknown as EbsDirectApi;
    await assert.rejects(indexesOf(listBlocks(api, 'snap-1')), { class: 'permanent', code: 'BAD_LIST' });
    assert.ok(count <= 1_003);
  });
}
