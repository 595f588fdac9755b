import assert from 'node:assert/strict';
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
