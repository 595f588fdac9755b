import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Emulator } from '../../src/emulator/index.ts';
import { ColdsnapError, type CopyOptions, copySnapshot, listPendingSnapshots } from '../../src/index.ts';
import { journalledBlocks } from '../faults/command.ts';
import { onlyJournal } from '../faults/stage.ts';
import { listedBlocks } from '../support/listed.ts';
import { assertCopy, startRegions } from '../support/regions.ts';
import { randomBlocks, recorder, scratch } from '../support/service.ts';

const BLOCK = 16_384;
const indexes = Array.from({ length: 40 }, (_, at) => at * 3);

async function start(t: TestContext) {
  const state = scratch(t);
  process.env.STATE_DIRECTORY = state;
  const regions = await startRegions(t, { blockSize: BLOCK, pageSize: 7 });
  const blocks = randomBlocks(indexes, [], BLOCK);
  const snapshotId = await regions.source.putSnapshot({ volumeSizeGiB: 1, blocks, description: 'first' });
  const warnings: string[] = [];
  const { onEvent, events } = recorder();
  const options: CopyOptions = {
    ...regions.service,
    snapshotId,
    workers: 2,
    checkpointIntervalMs: 1,
    onEvent: (event) => {
      onEvent(event);
      if (event.type === 'warning') warnings.push(event.message);
    },
  };
  return { ...regions, regions, state, blocks, snapshotId, options, warnings, events };
}

/** Copies until the n-th put, and aborts there. @returns the copy's snapshot */
async function interrupt(destination: Emulator, options: CopyOptions, puts: number): Promise<string> {
  const controller = new AbortController();
  const isPut = ({ operation }: { operation: string }) => operation === 'PutSnapshotBlock';
  const aborted = destination.waitForRequest(isPut, puts).then(() => controller.abort());
  const error = await copySnapshot({ ...options, signal: controller.signal }).catch(
    (failure: unknown) => failure,
  );
  await aborted;
  assert.ok(error instanceof ColdsnapError);
  assert.equal(error.class, 'aborted');
  assert.ok(error.snapshotId);
  return error.snapshotId;
}

test('an interrupted copy resumes with the same snapshot; no block that was safe is read or sent again', async (t) => {
  const { source, destination, regions, state, blocks, options, warnings, events } = await start(t);
  const copyId = await interrupt(destination, options, 20);
  assert.match(warnings.at(-1)!, new RegExp(`Snapshot ${copyId} is unfinished. Run the same command again`));
  const safe = [...journalledBlocks(onlyJournal(state))].filter((block) => blocks.has(block));
  assert.ok(safe.length >= 10, `${safe.length} blocks are in the journal`);
  for (const region of [source, destination]) region.clearLog();
  const { snapshotId, bytesResumed } = await copySnapshot(options);

  assert.equal(snapshotId, copyId);
  assert.ok(bytesResumed >= safe.length * BLOCK);
  assert.ok(events.some((event) => event.type === 'snapshot' && event.resumed === true));
  const puts = destination.requests('PutSnapshotBlock').map(({ blockIndex }) => blockIndex!);
  assert.deepEqual(
    puts.sort((a, b) => a - b),
    indexes.filter((block) => !safe.includes(block)),
  );
  const gets = source.requests('GetSnapshotBlock').map(({ blockIndex }) => blockIndex!);
  assert.deepEqual(
    gets.sort((a, b) => a - b),
    puts,
  );
  assert.equal(source.requests('DescribeSnapshots').length, 0, 'the source was described before');
  await assertCopy(
    regions,
    snapshotId,
    { blocks, blockSize: BLOCK },
    await listedBlocks(destination, snapshotId),
  );
  assert.deepEqual(readdirSync(state), []);
});

test('a resumed incremental copy counts each byte of the volume once', async (t) => {
  const { source, destination, options, snapshotId: base } = await start(t);
  const { snapshotId: parentSnapshotId } = await copySnapshot(options);
  const changes = randomBlocks(
    Array.from({ length: 30 }, (_, at) => at * 2_000),
    [],
    BLOCK,
  );
  const next = await source.putSnapshot({ volumeSizeGiB: 1, blocks: changes, parent: base, gone: [3, 6] });
  const update = { ...options, snapshotId: next, since: base, parentSnapshotId };
  destination.clearLog();
  const copyId = await interrupt(destination, update, 16);
  const { snapshotId, bytesDone, bytesTotal, bytesTransferred, bytesSkipped, bytesResumed } =
    await copySnapshot(update);
  assert.equal(snapshotId, copyId);
  assert.equal(bytesDone, bytesTotal);
  assert.equal(bytesDone, bytesTransferred + bytesSkipped + bytesResumed);
  const puts = new Set(destination.requests('PutSnapshotBlock').map(({ blockIndex }) => blockIndex!));
  assert.deepEqual(
    [...puts].sort((a, b) => a - b),
    [...changes.keys(), 3, 6].sort((a, b) => a - b),
  );
});

test('a copy resumes though EC2 no longer describes the source, or describes it otherwise', async (t) => {
  const { source, destination, options } = await start(t);
  const copyId = await interrupt(destination, options, 5);
  const action = { type: 'error', status: 403, code: 'UnauthorizedOperation' } as const;
  source.setFaults([{ operation: 'DescribeSnapshots', action }]);
  const { snapshotId } = await copySnapshot(options);
  assert.equal(snapshotId, copyId);
  assert.equal(destination.snapshot(snapshotId)?.description, 'first');
});

test('a copy with other options is another copy, and does not disturb the first', async (t) => {
  const { destination, state, options, warnings } = await start(t);
  const first = await interrupt(destination, options, 5);
  const { snapshotId: other } = await copySnapshot({ ...options, description: 'other' });
  assert.notEqual(other, first);
  assert.equal(readdirSync(state).length, 1);
  assert.deepEqual(
    warnings.filter((text) => text.includes('Ignoring')),
    [],
  );
  assert.equal((await copySnapshot(options)).snapshotId, first);
});

test('fresh starts another copy, and names the unfinished one', async (t) => {
  const { destination, options, warnings } = await start(t);
  const first = await interrupt(destination, options, 5);
  // The service checks what was sent after it has replied.
  const wait = { successesRequired: 1, secondsBetweenAttempts: 0.01 };
  const { snapshotId } = await copySnapshot({ ...options, fresh: true, wait });
  assert.notEqual(snapshotId, first);
  assert.match(warnings.at(-1)!, new RegExp(`a fresh start was requested.*${first} still exists`));
  const to = { endpoint: destination.url, region: destination.region };
  assert.deepEqual(
    (await listPendingSnapshots(to)).map((pending) => pending.snapshotId),
    [first],
  );
});

test('two runs of the same copy exclude each other, and two destinations do not', async (t) => {
  const { destination, regions, options } = await start(t);
  const other = await startRegions(t, { blockSize: BLOCK }, { region: 'ap-south-1' });
  // Throttles keep the first copy running until the faults are removed.
  const action = { type: 'error', status: 400, code: 'RequestThrottledException' } as const;
  destination.setFaults([{ operation: 'PutSnapshotBlock', action }]);
  const running = copySnapshot(options);
  await destination.waitForRequest(({ operation }) => operation === 'PutSnapshotBlock');
  await assert.rejects(copySnapshot(options), {
    class: 'refused',
    code: 'SOURCE_BUSY',
    message: /^another run makes the same copy of snap-\w+ \(it holds .*\.lock\)$/,
  });
  const to = { region: 'ap-south-1', endpoint: other.destination.url };
  assert.equal((await copySnapshot({ ...options, to })).region, 'ap-south-1');
  destination.setFaults([]);
  const { snapshotId } = await running;
  assert.equal(regions.destination.snapshot(snapshotId)?.status, 'completed');
  assert.equal(destination.requests('StartSnapshot').length, 1);
});

test('a permanent failure names its side, and the copy resumes once it is resolved', async (t) => {
  const { source, destination, options } = await start(t);
  const denied = { type: 'error', status: 403, code: 'AccessDeniedException', message: 'no' } as const;
  const broken = { type: 'error', status: 500, code: 'InternalServerException' } as const;
  const rows = [
    [source, 'GetSnapshotBlock', denied, /^in the source region us-east-1: access denied: no$/],
    [destination, 'PutSnapshotBlock', denied, /^in the destination region eu-west-1: access denied: no$/],
    [
      source,
      'ListSnapshotBlocks',
      broken,
      /^in the source region us-east-1: ListSnapshotBlocks .*nothing succeeded/,
    ],
    [destination, 'CompleteSnapshot', broken, /^in the destination region eu-west-1: CompleteSnapshot/],
    [
      source,
      'ListSnapshotBlocks',
      { type: 'list', contents: 'outside' },
      /^in the source region us-east-1: /,
    ],
  ] as const;
  const ids = new Set<string | undefined>();
  for (const [side, operation, action, message] of rows) {
    side.setFaults([{ operation, action }]);
    const error = await copySnapshot({ ...options, retryForMs: 100 }).catch((failure: unknown) => failure);
    assert.ok(error instanceof ColdsnapError, 'it succeeded');
    assert.match(error.message, message);
    if (error.snapshotId !== options.snapshotId) ids.add(error.snapshotId);
    side.setFaults([]);
  }
  const { snapshotId } = await copySnapshot(options);
  assert.deepEqual([...ids], [snapshotId]);
});

test('a missing region or profile names its side', async (t) => {
  const { options } = await start(t);
  await assert.rejects(copySnapshot({ ...options, to: { profile: 'nobody' } }), {
    code: 'PROFILE_NOT_FOUND',
    message: /^in the destination region us-east-1: the profile "nobody"/,
  });
});

test('when the source is deleted meanwhile, no later run could finish the copy: its snapshot is deleted', async (t) => {
  const { source, destination, snapshotId, state, options, warnings } = await start(t);
  const gone = { type: 'error', status: 404, code: 'ResourceNotFoundException' } as const;
  source.setFaults([{ operation: 'GetSnapshotBlock', block: 60, action: gone }]);
  await assert.rejects(copySnapshot(options), {
    code: 'SNAPSHOT_NOT_FOUND',
    message: `in the source region us-east-1: snapshot ${snapshotId} does not exist`,
  });
  assert.equal(destination.requests('DeleteSnapshot').length, 1);
  assert.match(warnings.at(-1)!, /was deleted/);
  assert.deepEqual(readdirSync(state), []);
});

test('without a journal an interrupted copy cannot be resumed, and says so', async (t) => {
  const { destination, state, options, warnings } = await start(t);
  await interrupt(destination, { ...options, checkpoint: false }, 5);
  assert.match(warnings.at(-1)!, /It cannot be resumed/);
  assert.deepEqual(readdirSync(state), []);
});

test('a journal at a path of its own is used and removed; one of another copy is not used', async (t) => {
  const { destination, state, options, warnings } = await start(t);
  const checkpointFile = join(state, 'copy.journal');
  const first = await interrupt(destination, { ...options, checkpointFile }, 5);
  assert.ok(readdirSync(state).includes('copy.journal'));
  const { snapshotId } = await copySnapshot({ ...options, checkpointFile, keepCheckpoint: true });
  assert.equal(snapshotId, first);
  assert.deepEqual(readdirSync(state), ['copy.journal']);
  const other = await copySnapshot({ ...options, checkpointFile, description: 'other' });
  assert.notEqual(other.snapshotId, first);
  assert.match(warnings.at(-1)!, /it belongs to another source/);
});

test('a copy that ended before its reply to the completion came is not sent again', async (t) => {
  const { source, destination, options } = await start(t);
  destination.setFaults([
    { operation: 'CompleteSnapshot', first: 1, action: { type: 'stall', executed: true } },
  ]);
  const controller = new AbortController();
  const completing = destination.waitForRequest(({ operation }) => operation === 'CompleteSnapshot');
  const running = copySnapshot({ ...options, signal: controller.signal });
  await completing;
  controller.abort();
  await assert.rejects(running, { class: 'aborted' });
  destination.setFaults([]);
  for (const region of [source, destination]) region.clearLog();
  const { snapshotId } = await copySnapshot(options);
  assert.equal(destination.snapshot(snapshotId)?.status, 'completed');
  assert.equal(destination.requests('PutSnapshotBlock').length, 0);
  assert.equal(source.requests('GetSnapshotBlock').length, 0);
});

test('blocks that were sent beyond one that is late are not read again', async (t) => {
  const { source, destination, regions, state, blocks, options } = await start(t);
  source.setFaults([{ operation: 'GetSnapshotBlock', block: 1, action: { type: 'stall' } }]);
  await interrupt(destination, options, 30);
  source.setFaults([]);
  const safe = journalledBlocks(onlyJournal(state));
  for (const region of [source, destination]) region.clearLog();
  const { snapshotId } = await copySnapshot(options);
  const gets = source.requests('GetSnapshotBlock').map(({ blockIndex }) => blockIndex!);
  assert.ok(gets.length <= 12, `${gets.length} blocks were read again`);
  assert.deepEqual(
    gets.filter((block) => safe.has(block)),
    [],
  );
  await assertCopy(
    regions,
    snapshotId,
    { blocks, blockSize: BLOCK },
    await listedBlocks(destination, snapshotId),
  );
});
