import assert from 'node:assert/strict';
import { open } from 'node:fs/promises';
import { test } from 'node:test';
import { type ChangedBlock, type EBSClient, ListChangedBlocksCommand } from '@aws-sdk/client-ebs';
import { download, get, randomBlock, refusal, run, SMALL, start, upload } from './client.ts';
import { errorOf, raw } from './raw.ts';

const block = Array.from({ length: 8 }, () => randomBlock());

async function changed(client: EBSClient, first: string, second: string): Promise<ChangedBlock[]> {
  const found: ChangedBlock[] = [];
  let NextToken: string | undefined;
  do {
    const page = await client.send(
      new ListChangedBlocksCommand({
        FirstSnapshotId: first,
        SecondSnapshotId: second,
        ...(NextToken ? { NextToken } : {}),
      }),
    );
    found.push(...page.ChangedBlocks!);
    NextToken = page.NextToken;
  } while (NextToken !== undefined);
  return found;
}

/** Index, and whether each of the two tokens is present. */
function shape(changes: ChangedBlock[]): [number, boolean, boolean][] {
  return changes.map((change) => [
    change.BlockIndex!,
    change.FirstBlockToken !== undefined,
    change.SecondBlockToken !== undefined,
  ]);
}

test("a child inherits its parent's blocks, in listings, data and image", async (t) => {
  const { emulator, ebs } = await run(t);
  const parent = await upload(
    emulator,
    ebs,
    new Map([
      [1, block[1]!],
      [2, block[2]!],
    ]),
  );
  const child = await upload(
    emulator,
    ebs,
    new Map([
      [2, block[3]!],
      [9, block[4]!],
    ]),
    { ParentSnapshotId: parent, VolumeSize: 2 },
  );
  const expected = [
    [1, block[1]],
    [2, block[3]],
    [9, block[4]],
  ];
  assert.deepEqual([...(await download(ebs, child))], expected);
  assert.deepEqual(emulator.snapshot(child)?.writtenBlocks, [2, 9]);
  const image = await open(await emulator.readImage(child));
  assert.equal((await image.stat()).size, 2 * 2 ** 30);
  for (const [index, data] of expected as [number, Buffer][]) {
    const { buffer } = await image.read(Buffer.alloc(SMALL), 0, SMALL, index * SMALL);
    assert.deepEqual(buffer, data);
  }
  await image.close();
  // The child keeps its blocks when its parent is deleted.
  emulator.deleteSnapshot(parent);
  assert.deepEqual([...(await download(ebs, child))], expected);
});

test('ListChangedBlocks returns a token for each snapshot that has the block', async (t) => {
  const { emulator, ebs } = await run(t);
  const first = await emulator.putSnapshot({
    volumeSizeGiB: 1,
    blocks: { 0: block[0]!, 1: block[1]!, 2: block[2]! },
  });
  const second = await emulator.putSnapshot({
    volumeSizeGiB: 1,
    parent: first,
    blocks: { 1: block[3]!, 5: block[5]! },
    gone: [2, 7],
  });
  const forward = await changed(ebs, first, second);
  assert.deepEqual(shape(forward), [
    [1, true, true],
    [2, true, false],
    [5, false, true],
  ]);
  assert.deepEqual(await get(ebs, first, 1, forward[0]!.FirstBlockToken!), block[1]);
  assert.deepEqual(await get(ebs, second, 1, forward[0]!.SecondBlockToken!), block[3]);
  await assert.rejects(
    get(ebs, second, 1, forward[0]!.FirstBlockToken!),
    refusal('ValidationException', 'INVALID_BLOCK_TOKEN'),
  );
  assert.deepEqual(shape(await changed(ebs, second, first)), [
    [1, true, true],
    [2, false, true],
    [5, true, false],
  ]);
  assert.deepEqual([...(await download(ebs, second)).keys()], [0, 1, 5]);
});

test('changes accumulate over generations, and a block put again with the same data counts as changed', async (t) => {
  const { emulator, ebs } = await run(t);
  const put = (blocks: Record<number, Buffer>, parent?: string, gone?: number[]) =>
    emulator.putSnapshot({
      volumeSizeGiB: 1,
      blocks,
      ...(parent ? { parent } : {}),
      ...(gone ? { gone } : {}),
    });
  const a = await put({ 0: block[0]!, 1: block[1]! });
  const b = await put({ 2: block[2]! }, a, [1]);
  const c = await put({ 0: block[0]!, 1: block[1]! }, b);
  const d = await put({}, c, [2]);
  assert.deepEqual(shape(await changed(ebs, a, d)), [
    [0, true, true],
    [1, true, true],
  ]);
  assert.deepEqual(shape(await changed(ebs, c, d)), [[2, true, false]]);
  assert.deepEqual(shape(await changed(ebs, b, c)), [
    [0, true, true],
    [1, false, true],
  ]);
});

test('ListChangedBlocks returns pages', async (t) => {
  const { emulator, ebs } = await run(t, { emptyPages: true });
  const indexes = Array.from({ length: 300 }, (_, n) => n * 3);
  const first = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: {} });
  const second = await emulator.putSnapshot({
    volumeSizeGiB: 1,
    parent: first,
    blocks: new Map(indexes.map((i) => [i, block[0]!])),
  });
  const changes = await changed(ebs, first, second);
  assert.deepEqual(
    changes.map((change) => change.BlockIndex),
    indexes,
  );
  assert.equal(emulator.requests('ListChangedBlocks').length, 3 * 2);
});

test('ListChangedBlocks ends with the volume of the second snapshot', async (t) => {
  const { emulator, ebs } = await run(t);
  const small = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: { 1: block[1]! } });
  const beyond = 2 ** 30 / SMALL + 5;
  const large = await emulator.putSnapshot({
    volumeSizeGiB: 2,
    parent: small,
    blocks: new Map([
      [2, block[2]!],
      [beyond, block[3]!],
    ]),
  });
  assert.deepEqual(shape(await changed(ebs, small, large)), [
    [2, false, true],
    [beyond, false, true],
  ]);
  assert.deepEqual(shape(await changed(ebs, large, small)), [[2, true, false]]);
});

test('unrelated snapshots, or a snapshot and itself, are rejected', async (t) => {
  const { emulator, ebs } = await run(t);
  const first = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: {} });
  const second = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: {} });
  const children = await Promise.all(
    [1, 2].map(() => emulator.putSnapshot({ volumeSizeGiB: 1, blocks: {}, parent: first })),
  );
  const unrelated = refusal('ValidationException', 'UNRELATED_SNAPSHOTS', 400);
  await assert.rejects(changed(ebs, first, second), unrelated);
  await assert.rejects(changed(ebs, first, first), unrelated);
  await assert.rejects(changed(ebs, children[0]!, children[1]!), unrelated);
  const pending = await start(ebs, { ParentSnapshotId: first });
  await assert.rejects(changed(ebs, first, pending), refusal('ValidationException', 'INVALID_SNAPSHOT_ID'));
  await assert.rejects(changed(ebs, 'snap-0', first), refusal('ResourceNotFoundException'));
  const alone = await raw(emulator.url, { path: `/snapshots/${first}/changedblocks` });
  assert.deepEqual(errorOf(alone), [400, 'ValidationException', 'INVALID_PARAMETER_VALUE']);
});
