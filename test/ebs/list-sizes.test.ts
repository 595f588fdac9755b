/** All lists of a snapshot report the same sizes; another one is rejected before anything is decided by it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EbsDirectApi, ListPage } from '../../src/ebs/api.ts';
import { withConstantSizes } from '../../src/ebs/list/constant-sizes.ts';

type Sizes = Pick<ListPage, 'volumeSizeGiB' | 'blockSize'>;

const usual: Sizes = { volumeSizeGiB: 1, blockSize: 524_288 };
const larger: Sizes = { volumeSizeGiB: 2, blockSize: 524_288 };
const otherBlocks: Sizes = { volumeSizeGiB: 1, blockSize: 1_048_576 };

/** A service whose replies have these sizes, one after the other. */
function service(...replies: Sizes[]) {
  const next = async () => ({ ...replies.shift(), blocks: [], changedBlocks: [] });
  const api = withConstantSizes({
    listSnapshotBlocks: next,
    listChangedBlocks: next,
  } as unknown as EbsDirectApi);
  return {
    list: (snapshotId: string) => api.listSnapshotBlocks({ snapshotId }),
    changes: (firstSnapshotId: string, secondSnapshotId: string) =>
      api.listChangedBlocks({ firstSnapshotId, secondSnapshotId }),
  };
}

for (const [what, other] of [
  ['volume', larger],
  ['block', otherBlocks],
] as const) {
  test(`a list with another ${what} size than an earlier one of the snapshot is rejected`, async () => {
    const { list } = service(usual, usual, other);
    await list('snap-1');
    await list('snap-1');
    await assert.rejects(list('snap-1'), {
      class: 'permanent',
      code: 'BAD_LIST',
      snapshotId: 'snap-1',
      message: /ListSnapshotBlocks of snap-1 reports another volume size or block size/,
    });
  });

  test(`a list of changes with another ${what} size than those of both snapshots is rejected`, async () => {
    const { list, changes } = service(usual, usual, usual, other);
    await list('snap-1');
    await list('snap-2');
    await changes('snap-1', 'snap-2');
    await assert.rejects(changes('snap-1', 'snap-2'), { code: 'BAD_LIST', snapshotId: 'snap-2' });
  });
}

test('snapshots may differ in size, and a list of changes has the size of either', async () => {
  const { list, changes } = service(usual, larger, usual, larger, otherBlocks);
  await list('snap-1');
  await list('snap-2');
  await changes('snap-1', 'snap-2');
  await changes('snap-1', 'snap-2');
  await changes('snap-1', 'snap-3');
});
