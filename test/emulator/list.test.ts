import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ListSnapshotBlocksCommand, type ListSnapshotBlocksCommandInput } from '@aws-sdk/client-ebs';
import { get, list, randomBlock, refusal, run, SMALL, start, testClock } from './client.ts';
import { errorOf, raw } from './raw.ts';

const data = randomBlock();
const indexes = Array.from({ length: 450 }, (_, n) => n * 2 + 5);
const blocks = new Map(indexes.map((index) => [index, data]));

test('a listing returns every written block once, in ascending order, 100 a page by default', async (t) => {
  const { emulator, ebs } = await run(t);
  const id = await emulator.putSnapshot({ volumeSizeGiB: 3, blocks });
  const page = (input: Partial<ListSnapshotBlocksCommandInput>) =>
    ebs.send(new ListSnapshotBlocksCommand({ SnapshotId: id, ...input }));
  const first = await page({});
  assert.equal(first.Blocks?.length, 100);
  assert.deepEqual([first.VolumeSize, first.BlockSize], [3, SMALL]);
  const weekAhead = Date.now() + 7 * 24 * 3_600_000;
  assert.ok(Math.abs(first.ExpiryTime!.getTime() - weekAhead) < 60_000);
  assert.ok(first.NextToken);
  assert.deepEqual([...(await list(ebs, id)).keys()], indexes);
  const all = await page({ MaxResults: 10_000 });
  assert.deepEqual(
    all.Blocks?.map((block) => block.BlockIndex),
    indexes,
  );
  assert.equal(all.NextToken, undefined);
});

test('the last page has a null NextToken, also when it is exactly full', async (t) => {
  const { emulator } = await run(t);
  const id = await emulator.putSnapshot({
    volumeSizeGiB: 1,
    blocks: Object.fromEntries(indexes.slice(0, 100).map((i) => [i, data])),
  });
  const reply = await raw(emulator.url, { path: `/snapshots/${id}/blocks` });
  const json = JSON.parse(reply.body.toString()) as { Blocks: unknown[]; NextToken: unknown };
  assert.equal(json.Blocks.length, 100);
  assert.equal(json.NextToken, null);
});

test("tokens have the service's alphabet and length, and differ in every listing", async (t) => {
  const { emulator, ebs } = await run(t);
  const id = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
  const pages = [1, 2].map(() =>
    ebs.send(new ListSnapshotBlocksCommand({ SnapshotId: id, MaxResults: 400 })),
  );
  const [one, two] = await Promise.all(pages);
  const tokens = [one, two].flatMap((page) => page!.Blocks!.map((block) => block.BlockToken!));
  assert.equal(new Set(tokens).size, 800);
  assert.notEqual(one!.NextToken, two!.NextToken);
  for (const token of [...tokens, one!.NextToken!]) assert.match(token, /^[A-Za-z0-9+/=]{1,256}$/);
  assert.ok(
    tokens.some((token) => /[+/]/.test(token) && token.endsWith('=')),
    'tokens need URL encoding',
  );
  // Tokens of the earlier listing are still valid: they expire after a week.
  for (const page of [one, two]) assert.deepEqual(await get(ebs, id, 5, page!.Blocks![0]!.BlockToken!), data);
});

test('StartingBlockIndex starts at the next written block; a page token takes precedence', async (t) => {
  const { emulator, ebs } = await run(t);
  const id = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
  const page = (input: Partial<ListSnapshotBlocksCommandInput>) =>
    ebs.send(new ListSnapshotBlocksCommand({ SnapshotId: id, ...input }));
  const from = await page({ StartingBlockIndex: 8, MaxResults: 100 });
  assert.equal(from.Blocks?.[0]?.BlockIndex, 9);
  const next = await page({ StartingBlockIndex: 0, NextToken: from.NextToken! });
  assert.equal(next.Blocks?.[0]?.BlockIndex, 209);
  const last = await page({ StartingBlockIndex: 2 ** 30 / SMALL - 1 });
  assert.deepEqual([last.Blocks, last.NextToken], [[], undefined]);
});

test('parameters out of range are rejected', async (t) => {
  const { emulator } = await run(t);
  const id = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
  const queries = [
    'maxResults=99',
    'maxResults=10001',
    'maxResults=x',
    'maxResults=',
    'startingBlockIndex=-1',
    `startingBlockIndex=${2 ** 30 / SMALL}`,
  ];
  for (const query of queries) {
    const reply = await raw(emulator.url, { path: `/snapshots/${id}/blocks?${query}` });
    assert.deepEqual(errorOf(reply), [400, 'ValidationException', 'INVALID_PARAMETER_VALUE'], query);
  }
});

test('pages can be shorter than requested, and empty with a NextToken', async (t) => {
  const { emulator, ebs } = await run(t, { pageSize: 150, emptyPages: 2 });
  const id = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
  const lengths: number[] = [];
  const seen: number[] = [];
  for (let NextToken: string | undefined, more = true; more; more = NextToken !== undefined) {
    const input = { SnapshotId: id, MaxResults: 10_000, ...(NextToken === undefined ? {} : { NextToken }) };
    const page = await ebs.send(new ListSnapshotBlocksCommand(input));
    lengths.push(page.Blocks!.length);
    seen.push(...page.Blocks!.map((block) => block.BlockIndex!));
    NextToken = page.NextToken;
  }
  assert.deepEqual(lengths, [0, 0, 150, 0, 0, 150, 0, 0, 150]);
  assert.deepEqual(seen, indexes);
});

test('a page token expires, and is valid only for its own listing', async (t) => {
  const clock = testClock();
  const { emulator, ebs } = await run(t, { now: clock.now, pageTokenLifeMs: 1000 });
  const id = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
  const other = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
  const { NextToken } = await ebs.send(new ListSnapshotBlocksCommand({ SnapshotId: id }));
  const go = (SnapshotId: string, token: string) =>
    ebs.send(new ListSnapshotBlocksCommand({ SnapshotId, NextToken: token }));
  const invalid = refusal('ValidationException', 'INVALID_PAGE_TOKEN', 400);
  await assert.rejects(go(other, NextToken!), invalid);
  await assert.rejects(go(id, `A${NextToken!.slice(1)}`), invalid);
  await assert.rejects(go(id, 'AAAA'), invalid);
  clock.move(999);
  assert.equal((await go(id, NextToken!)).Blocks?.[0]?.BlockIndex, 205);
  clock.move(1);
  await assert.rejects(go(id, NextToken!), invalid);
});

test('only completed snapshots can be listed', async (t) => {
  const { emulator, ebs } = await run(t);
  const pending = await start(ebs);
  const failed = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: {}, status: 'error' });
  for (const id of [pending, failed]) {
    await assert.rejects(list(ebs, id), refusal('ValidationException', 'INVALID_SNAPSHOT_ID'));
  }
  await assert.rejects(list(ebs, 'snap-0'), refusal('ResourceNotFoundException', 'SNAPSHOT_NOT_FOUND', 404));
  const malformed = refusal('ValidationException', 'INVALID_SNAPSHOT_ID');
  for (const id of ['snap-XYZ', 'vol-0', `snap-${'0'.repeat(60)}`])
    await assert.rejects(list(ebs, id), malformed);
  await list(ebs, await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: {} }));
});

test('a snapshot of 64 TiB with blocks at both ends is listed without delay', async (t) => {
  const { emulator, ebs } = await run(t, { blockSize: 524_288 });
  const big = randomBlock(524_288);
  const last = 2 ** 27 - 1;
  const id = await emulator.putSnapshot({ volumeSizeGiB: 65_536, blocks: { 0: big, [last]: big } });
  const tokens = await list(ebs, id);
  assert.deepEqual([...tokens.keys()], [0, last]);
  assert.deepEqual(await get(ebs, id, last, tokens.get(last)!), big);
});
