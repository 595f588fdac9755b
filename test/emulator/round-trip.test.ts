import assert from 'node:assert/strict';
import { closeSync, openSync, readSync } from 'node:fs';
import { test } from 'node:test';
import { DescribeSnapshotsCommand } from '@aws-sdk/client-ec2';
import { BLOCK, download, randomBlock, run, sha256, upload } from './client.ts';

test('the SDK downloads the blocks that it uploaded', async (t) => {
  const { emulator, ebs, ec2 } = await run(t, { blockSize: BLOCK });
  const blocks = new Map([0, 5, 2047].map((block) => [block, randomBlock(BLOCK)]));
  const id = await upload(emulator, ebs, blocks, {
    Description: 'a disk',
    Tags: [{ Key: 'Name', Value: 'x' }],
  });
  assert.equal(emulator.snapshot(id)?.status, 'completed');
  const received = await download(ebs, id);
  assert.deepEqual([...received.keys()], [0, 5, 2047]);
  for (const [block, data] of blocks) assert.deepEqual(sha256(received.get(block)!), sha256(data));
  const described = await ec2.send(new DescribeSnapshotsCommand({ SnapshotIds: [id] }));
  assert.equal(described.Snapshots?.[0]?.State, 'completed');
  assert.equal(described.Snapshots?.[0]?.Description, 'a disk');
  assert.deepEqual(
    emulator.log.map((record) => [record.operation, record.status]),
    [
      ['StartSnapshot', 201],
      ...Array(3).fill(['PutSnapshotBlock', 201]),
      ['CompleteSnapshot', 202],
      ['ListSnapshotBlocks', 200],
      ...Array(3).fill(['GetSnapshotBlock', 200]),
      ['DescribeSnapshots', 200],
    ],
  );
});

test('blocks of 16 MiB can be put', async (t) => {
  const blockSize = 2 ** 24;
  const { emulator, ebs } = await run(t, { blockSize });
  const data = randomBlock(blockSize);
  const id = await upload(emulator, ebs, new Map([[3, data]]));
  assert.deepEqual(sha256((await download(ebs, id)).get(3)!), sha256(data));
});

test('what an encrypted snapshot does not list reads as random data', async (t) => {
  const { emulator } = await run(t, { blockSize: BLOCK });
  const data = randomBlock(BLOCK);
  for (const encrypted of [false, true]) {
    const parent = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: { 1: data, 2: data }, encrypted });
    const child = await emulator.putSnapshot({ volumeSizeGiB: 2, blocks: { 5: data }, parent, gone: [2] });
    for (const [id, listed] of [
      [parent, [1, 2]],
      [child, [1, 5]],
    ] as const) {
      const image = openSync(await emulator.readImage(id), 'r');
      const read = (block: number) => {
        const found = Buffer.alloc(BLOCK);
        readSync(image, found, 0, BLOCK, block * BLOCK);
        return found;
      };
      for (const block of listed) assert.ok(read(block).equals(data));
      for (const block of [0, 3, 2047, ...(id === child ? [2, 2048, 4095] : [])])
        assert.equal(read(block).equals(Buffer.alloc(BLOCK)), !encrypted, `block ${block}`);
      closeSync(image);
    }
  }
});
