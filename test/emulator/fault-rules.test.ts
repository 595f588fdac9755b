import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FaultAction, FaultRule } from '../../src/emulator/index.ts';
import { put, randomBlock, run, SMALL, start } from './client.ts';
import { raw } from './raw.ts';

const data = randomBlock();

test('rules select calls by operation, snapshot, block and number', async (t) => {
  const { emulator, ebs } = await run(t);
  const ids = [await start(ebs), await start(ebs)];
  const action: FaultAction = { type: 'error', status: 500, code: 'InternalServerException' };
  /** Which of the puts fail, as text: `.` for a success, `x` for a failure. */
  const pattern = async (rule: Omit<FaultRule, 'action'>, puts: [snapshot: number, block: number][]) => {
    emulator.setFaults([{ ...rule, action }]);
    let seen = '';
    for (const [snapshot, block] of puts) {
      seen += await put(ebs, ids[snapshot]!, block, data).then(
        () => '.',
        () => 'x',
      );
    }
    return seen;
  };
  const puts: [number, number][] = [
    [0, 0],
    [0, 1],
    [1, 0],
    [1, 1],
    [0, 0],
    [0, 1],
  ];
  assert.equal(await pattern({}, puts), 'xxxxxx');
  assert.equal(await pattern({ operation: 'PutSnapshotBlock' }, puts), 'xxxxxx');
  assert.equal(await pattern({ operation: 'GetSnapshotBlock' }, puts), '......');
  assert.equal(await pattern({ snapshotId: ids[1]! }, puts), '..xx..');
  assert.equal(await pattern({ block: 1 }, puts), '.x.x.x');
  assert.equal(await pattern({ block: [0, 5] }, puts), 'x.x.x.');
  assert.equal(await pattern({ nth: 2 }, puts), '.x....');
  assert.equal(await pattern({ first: 3 }, puts), 'xxx...');
  assert.equal(await pattern({ block: 1, nth: 3 }, puts), '.....x');
  assert.equal(await pattern({ first: 1, perBlock: true }, puts), 'xx....');
  assert.equal(await pattern({ nth: 2, perBlock: true, snapshotId: ids[0]! }, puts), '....xx');
  assert.equal(await pattern({ probability: 0 }, puts), '......');
  assert.equal(await pattern({ probability: 1 }, puts), 'xxxxxx');
});

test('probability depends on seed, block and call number, not on the order of blocks', async (t) => {
  const { emulator, ebs } = await run(t);
  const id = await start(ebs);
  const failing = async (order: number[], seed: number): Promise<number[]> => {
    emulator.setFaults([
      { probability: 0.3, seed, action: { type: 'error', status: 500, code: 'InternalServerException' } },
    ]);
    const results = await Promise.all(
      order.map((block) =>
        put(ebs, id, block, data).then(
          () => -1,
          () => block,
        ),
      ),
    );
    return results.filter((block) => block !== -1).sort((a, b) => a - b);
  };
  const up = Array.from({ length: 100 }, (_, n) => n);
  const first = await failing(up, 1);
  assert.ok(first.length > 15 && first.length < 45, String(first.length));
  assert.deepEqual(await failing([...up].reverse(), 1), first);
  assert.notDeepEqual(await failing(up, 2), first);
});

test('list: returns invalid contents', async (t) => {
  const { emulator, ebs } = await run(t);
  const id = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: { 1: data, 2: data, 3: data } });
  const child = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: { 4: data, 5: data }, parent: id });
  type Listing = {
    Blocks?: { BlockIndex: number }[];
    ChangedBlocks?: { BlockIndex: number }[];
    VolumeSize: number;
    NextToken: string | null;
  };
  const page = async (action: FaultAction, path = `/snapshots/${id}/blocks`): Promise<Listing> => {
    emulator.setFaults([{ action }]);
    return JSON.parse((await raw(emulator.url, { path })).body.toString()) as Listing;
  };
  const indexes = async (action: FaultAction) =>
    (await page(action)).Blocks!.map(({ BlockIndex }) => BlockIndex);
  assert.deepEqual(await indexes({ type: 'list', contents: 'outside' }), [1, 2, 2 ** 30 / SMALL]);
  assert.deepEqual(await indexes({ type: 'list', contents: 'negative' }), [-1, 2, 3]);
  assert.deepEqual(await indexes({ type: 'list', contents: 'descending' }), [3, 2, 1]);
  assert.deepEqual(await indexes({ type: 'list', contents: 'duplicate' }), [1, 1, 2, 2, 3, 3]);
  assert.equal((await page({ type: 'list', contents: 'huge-volume' })).VolumeSize, 2 ** 40);
  const changes = await page(
    { type: 'list', contents: 'descending' },
    `/snapshots/${child}/changedblocks?firstSnapshotId=${id}`,
  );
  assert.deepEqual(
    changes.ChangedBlocks!.map(({ BlockIndex }) => BlockIndex),
    [5, 4],
  );
  const endless: FaultAction = { type: 'list', contents: 'endless' };
  const tokens = [await page(endless), await page(endless)].map(({ Blocks, NextToken }) => [
    Blocks,
    NextToken,
  ]);
  assert.deepEqual([tokens[0]![0], typeof tokens[0]![1]], [[], 'string']);
  assert.notEqual(tokens[0]![1], tokens[1]![1]);
  const same: FaultAction = { type: 'list', contents: 'endless', sameToken: true };
  assert.equal((await page(same)).NextToken, (await page(same)).NextToken);
  // A client that follows the endless token gets the next empty page, whatever the token.
  const next = await page(
    endless,
    `/snapshots/${id}/blocks?pageToken=${encodeURIComponent(tokens[0]![1] as string)}`,
  );
  assert.deepEqual(next.Blocks, []);
  // Other replies are not changed.
  emulator.setFaults([{ action: endless }]);
  assert.ok(await start(ebs));
});
