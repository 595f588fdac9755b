import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import { copySnapshot, type DryRun, estimateCopy } from '../../src/index.ts';
import { startRegions } from '../support/regions.ts';
import { GIB, randomBlocks, recorder, scratch } from '../support/service.ts';

const BLOCK = 16_384;
const BLOCKS = GIB / BLOCK;

async function start(t: TestContext, { encryptedByDefault = false } = {}) {
  const state = scratch(t);
  process.env.STATE_DIRECTORY = state;
  const regions = await startRegions(t, { blockSize: BLOCK, pageSize: 5 }, { encryptedByDefault });
  const { source, destination } = regions;
  const blocks = randomBlocks([0, 1, 5, 700], [3], BLOCK);
  const base = await source.putSnapshot({ volumeSizeGiB: 1, blocks });
  const next = await source.putSnapshot({
    volumeSizeGiB: 2,
    blocks: randomBlocks([1, 6, BLOCKS + 7], [], BLOCK),
    parent: base,
    gone: [700],
  });
  const estimate = async (options: object): Promise<DryRun> => {
    for (const region of [source, destination]) region.clearLog();
    const before = JSON.stringify(readdirSync(state));
    const plan = await estimateCopy({ ...regions.service, snapshotId: base, ...options });
    for (const { operation } of [...source.log, ...destination.log])
      assert.match(operation, /^(List|Describe)/);
    assert.equal(JSON.stringify(readdirSync(state)), before);
    return plan;
  };
  return { ...regions, state, base, next, estimate };
}

test('a dry run of a copy counts requests and dollars of both sides, and changes nothing', async (t) => {
  const { estimate, base } = await start(t);
  assert.deepEqual(await estimate({}), {
    dryRun: true,
    operation: 'copy',
    source: { snapshotId: base, region: 'us-east-1' },
    region: 'eu-west-1',
    volumeSize: GIB,
    blocks: 5,
    bytes: 5 * BLOCK,
    // One list, five gets, five puts, a start and a completion.
    requests: 13,
    dollars: 0.000_045_6,
    seconds: 0.005,
    bytesResumed: 0,
  });
});

test('a dry run counts the zeros that an encrypted copy needs', async (t) => {
  const { estimate } = await start(t);
  const encrypted = await estimate({ encrypted: true });
  assert.deepEqual([encrypted.blocks, encrypted.requests], [BLOCKS, 1 + 5 + BLOCKS + 2]);
  assert.equal((await estimate({ encrypted: true, skipUnlisted: true })).blocks, 5);
});

test('a dry run of an incremental copy counts changes, and the zeros of the new part of an encrypted volume', async (t) => {
  const { estimate, base, next, destination } = await start(t);
  for (const [encrypted, blocks] of [
    [false, 4],
    [true, 3 + BLOCKS],
  ] as const) {
    const parent = await destination.putSnapshot({ volumeSizeGiB: 1, blocks: {}, encrypted });
    const plan = await estimate({ snapshotId: next, since: base, parentSnapshotId: parent });
    assert.equal(plan.blocks, blocks);
    assert.equal(plan.volumeSize, 2 * GIB);
  }
});

test('a dry run finds that the parent does not exist, or is no copy of the base, as the copy does', async (t) => {
  const { estimate, service, base, next, destination } = await start(t);
  const incremental = { snapshotId: next, since: base };
  await assert.rejects(estimate({ ...incremental, parentSnapshotId: 'snap-0e47' }), {
    class: 'permanent',
    code: 'SNAPSHOT_NOT_FOUND',
    message: /in the destination region eu-west-1: .*snap-0e47/,
  });
  const parentSnapshotId = await destination.putSnapshot({ volumeSizeGiB: 2, blocks: {} });
  const other = { ...incremental, parentSnapshotId };
  const refused = {
    class: 'refused',
    code: 'PARENT_MISMATCH',
    message: `${parentSnapshotId} is not a copy of ${base}: its volume has ${2 * GIB} bytes and not ${GIB}`,
  };
  await assert.rejects(estimate(other), refused);
  await assert.rejects(copySnapshot({ ...service, ...other }), refused);
  assert.deepEqual(destination.requests('StartSnapshot'), []);
});

test('where the parent may not be listed, a dry run warns, and a copy is made', async (t) => {
  const { estimate, service, base, next, destination } = await start(t);
  const parentSnapshotId = await destination.putSnapshot({ volumeSizeGiB: 1, blocks: {} });
  destination.setFaults([
    {
      operation: 'ListSnapshotBlocks',
      action: { type: 'error', status: 403, code: 'AccessDeniedException', message: 'not allowed' },
    },
  ]);
  const incremental = { snapshotId: next, since: base, parentSnapshotId };
  const { events, onEvent } = recorder();
  const codes = () => events.flatMap((event) => (event.type === 'warning' ? [event.code] : []));
  assert.equal((await estimate({ ...incremental, onEvent })).blocks, 4);
  assert.deepEqual(codes(), ['PARENT_NOT_CHECKED']);
  events.length = 0;
  assert.equal((await copySnapshot({ ...service, ...incremental, onEvent })).blocksTransferred, 4);
  assert.deepEqual(codes(), []);
});

test('a dry run says what would be resumed', async (t) => {
  const { estimate, source, destination, service, base } = await start(t);
  const controller = new AbortController();
  const isPut = ({ operation }: { operation: string }) => operation === 'PutSnapshotBlock';
  void destination.waitForRequest(isPut, 4).then(() => controller.abort());
  source.setFaults([{ operation: 'GetSnapshotBlock', action: { type: 'delay', ms: 20 } }]);
  const options = { ...service, workers: 1, checkpointIntervalMs: 1, signal: controller.signal };
  await assert.rejects(copySnapshot({ ...options, snapshotId: base }), { class: 'aborted' });
  source.setFaults([]);
  const plan = await estimate({});
  assert.match(plan.snapshotId!, /^snap-/);
  assert.ok(plan.bytesResumed > 0);
  assert.ok(plan.blocks < 5, `${plan.blocks} blocks`);
  assert.equal((await estimate({ fresh: true })).blocks, 5);
});
