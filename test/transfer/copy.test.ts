import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import {
  type CopyOptions,
  type CopyResult,
  copySnapshot,
  estimateCopy,
  type TransferEvent,
} from '../../src/index.ts';
import '../support/in-memory.ts';
import { listedBlocks } from '../support/listed.ts';
import { assertCopy, type Regions, startRegions } from '../support/regions.ts';
import { GIB, randomBlocks, recorder, scratch } from '../support/service.ts';

const BLOCK = 2 ** 20;
/** So few blocks that all of a volume can be sent as zeros. */
const LARGE_BLOCK = 2 ** 22;
const LARGE_BLOCKS = GIB / LARGE_BLOCK;

const sha256 = (data: Uint8Array) => createHash('sha256').update(data).digest('base64');

/** Keeps the journals of a test in its own directory. */
function ownState(t: TestContext): string {
  const directory = scratch(t);
  process.env.STATE_DIRECTORY = directory;
  return directory;
}

async function copy(
  { service }: Regions,
  options: CopyOptions,
): Promise<CopyResult & { warnings: string[] }> {
  const { events, onEvent } = recorder();
  const result = await copySnapshot({ ...service, onEvent, ...options });
  const warnings = events.flatMap((event) => (event.type === 'warning' ? [event.code] : []));
  return { ...result, warnings };
}

const chainOf = async ({ source }: Regions) => {
  const baseBlocks = randomBlocks([0, 1, 5, 700, 1023], [3], BLOCK);
  const base = await source.putSnapshot({ volumeSizeGiB: 1, blocks: baseBlocks });
  const changes = randomBlocks([1, 6], [5], BLOCK);
  const next = await source.putSnapshot({ volumeSizeGiB: 1, blocks: changes, parent: base, gone: [700] });
  const blocks = new Map([...baseBlocks, ...changes]);
  blocks.delete(700);
  return { base, baseBlocks, next, blocks };
};

test('a copy lists the same blocks with the same bytes; each is read once, sent once, and with the checksum that came', async (t) => {
  const state = ownState(t);
  const regions = await startRegions(t, { blockSize: BLOCK, pageSize: 3 });
  const { source, destination } = regions;
  const blocks = randomBlocks([0, 1, 5, 700, 1023], [3, 9], BLOCK);
  const snapshotId = await source.putSnapshot({
    volumeSizeGiB: 1,
    blocks,
    description: 'web root',
    tags: { Name: 'web' },
  });
  const result = await copy(regions, { snapshotId });

  assert.notEqual(result.snapshotId, snapshotId);
  await assertCopy(
    regions,
    result.snapshotId,
    { blocks, blockSize: BLOCK },
    await listedBlocks(destination, result.snapshotId),
  );
  const indexes = [...blocks.keys()];
  const gets = source.requests('GetSnapshotBlock').map(({ blockIndex }) => blockIndex!);
  assert.deepEqual(
    gets.sort((a, b) => a - b),
    indexes,
  );
  const sent = new Map(
    destination
      .requests('PutSnapshotBlock')
      .map(({ blockIndex, headers }) => [blockIndex!, headers['x-amz-checksum']]),
  );
  assert.equal(destination.requests('PutSnapshotBlock').length, indexes.length);
  for (const [index, data] of blocks) assert.equal(sent.get(index), sha256(data));
  for (const operation of ['StartSnapshot', 'CompleteSnapshot'])
    assert.deepEqual(
      [source.requests(operation).length, destination.requests(operation).length],
      [0, 1],
      operation,
    );
  assert.equal(destination.requests('GetSnapshotBlock').length, 0);

  const made = destination.snapshot(result.snapshotId)!;
  assert.deepEqual([made.description, made.tags], ['web root', { 'coldsnap:upload': 'true' }]);
  assert.deepEqual(result.source, { snapshotId, region: 'us-east-1' });
  assert.equal(result.region, 'eu-west-1');
  assert.deepEqual(
    [result.blocksTransferred, result.blocksSkipped, result.zerosSent, result.bytesDone],
    [7, 1024 - 7, 0, GIB],
  );
  assert.deepEqual(result.warnings, []);
  assert.deepEqual(readdirSync(state), [], 'no journal and no lock remains');
});

test('a copy has the description that is given, its own tags, and with them those of the source', async (t) => {
  ownState(t);
  const regions = await startRegions(t, { blockSize: BLOCK });
  const { source, destination } = regions;
  const tags = { Name: 'web', 'aws:backup': 'x', 'coldsnap:upload': 'true', team: 'a' };
  const snapshotId = await source.putSnapshot({ volumeSizeGiB: 1, blocks: {}, description: 'web', tags });
  const own = [{ key: 'Name', value: 'copy' }];
  const { snapshotId: id } = await copy(regions, {
    snapshotId,
    copyTags: true,
    tags: own,
    description: 'other',
  });
  const made = destination.snapshot(id)!;
  assert.equal(made.description, 'other');
  assert.deepEqual(made.tags, { Name: 'copy', team: 'a', 'coldsnap:upload': 'true' });
  const { snapshotId: plain } = await copy(regions, { snapshotId, tags: own });
  assert.deepEqual(destination.snapshot(plain)!.tags, { Name: 'copy', 'coldsnap:upload': 'true' });
});

test('while EC2 is busy no copy is started, and afterwards it has the description', async (t) => {
  ownState(t);
  const regions = await startRegions(t, { blockSize: BLOCK });
  const { source, destination } = regions;
  const snapshotId = await source.putSnapshot({ volumeSizeGiB: 1, blocks: {}, description: 'web' });
  const action = { type: 'error', status: 503, code: 'RequestLimitExceeded' } as const;
  source.setFaults([{ operation: 'DescribeSnapshots', action }]);
  await assert.rejects(copy(regions, { snapshotId, retryForMs: 100 }), {
    class: 'gave-up',
    code: 'THROTTLED',
    message: /^in the source region us-east-1: /,
  });
  assert.equal(destination.requests('StartSnapshot').length, 0);
  source.setFaults([{ operation: 'DescribeSnapshots', first: 2, action }]);
  const { snapshotId: id, warnings } = await copy(regions, { snapshotId, retryForMs: 10_000 });
  assert.equal(destination.snapshot(id)!.description, 'web');
  assert.deepEqual(warnings, []);
});

test('where EC2 does not describe the source, a copy has no description, and its tags are an error', async (t) => {
  ownState(t);
  const regions = await startRegions(t, { blockSize: BLOCK });
  const { source, destination } = regions;
  const snapshotId = await source.putSnapshot({ volumeSizeGiB: 1, blocks: {}, description: 'web' });
  const denied = { type: 'error', status: 403, code: 'UnauthorizedOperation' } as const;
  source.setFaults([{ operation: 'DescribeSnapshots', action: denied }]);
  const { snapshotId: id, warnings } = await copy(regions, { snapshotId });
  assert.equal(destination.snapshot(id)!.description, '');
  assert.deepEqual(warnings, ['NOT_DESCRIBED']);
  destination.clearLog();
  await assert.rejects(copy(regions, { snapshotId, copyTags: true }), {
    class: 'config',
    message: /^in the source region us-east-1: access denied/,
  });
  assert.equal(destination.requests('StartSnapshot').length, 0);
});

test('an encrypted copy of an unencrypted snapshot gets zeros where the source lists nothing, and reads as it', async (t) => {
  ownState(t);
  const regions = await startRegions(t, { blockSize: LARGE_BLOCK });
  const { source, destination } = regions;
  const blocks = randomBlocks([1, 7], [3], LARGE_BLOCK);
  const snapshotId = await source.putSnapshot({ volumeSizeGiB: 1, blocks });
  const result = await copy(regions, { snapshotId, encrypted: true });
  const listed = await listedBlocks(destination, result.snapshotId);
  const zeros = Buffer.alloc(LARGE_BLOCK);
  const all = new Map(Array.from({ length: LARGE_BLOCKS }, (_, at) => [at, blocks.get(at) ?? zeros]));
  await assertCopy(regions, result.snapshotId, { blocks: all, blockSize: LARGE_BLOCK }, listed);
  assert.equal(source.requests('GetSnapshotBlock').length, 3);
  assert.deepEqual(
    [result.blocksTransferred, result.blocksSkipped, result.zerosSent],
    [LARGE_BLOCKS, 0, LARGE_BLOCKS - 3],
  );
  assert.deepEqual([result.bytesToMove, result.bytesToMoveKnown], [GIB, true]);
  assert.deepEqual(result.warnings, ['UNLISTED_SENT']);
});

test('zeros are sent, too, where the destination encrypts by default and the encryption of the source is not known', async (t) => {
  ownState(t);
  const regions = await startRegions(t, { blockSize: LARGE_BLOCK }, { encryptedByDefault: true });
  const { source } = regions;
  const snapshotId = await source.putSnapshot({ volumeSizeGiB: 1, blocks: {}, encrypted: true });
  assert.equal((await copy(regions, { snapshotId })).zerosSent, 0, 'both are encrypted');
  const action = { type: 'error', status: 403, code: 'UnauthorizedOperation' } as const;
  source.setFaults([{ operation: 'DescribeSnapshots', action }]);
  const { zerosSent, warnings } = await copy(regions, { snapshotId });
  assert.deepEqual([zerosSent, warnings], [LARGE_BLOCKS, ['NOT_DESCRIBED', 'UNLISTED_SENT']]);
});

test('blocks that an encrypted source does not list stay unlisted, and with skipUnlisted everywhere', async (t) => {
  ownState(t);
  const regions = await startRegions(t, { blockSize: BLOCK });
  const { source, destination } = regions;
  const blocks = randomBlocks([0, 9], [3], BLOCK);
  for (const encrypted of [true, false]) {
    const snapshotId = await source.putSnapshot({ volumeSizeGiB: 1, blocks, encrypted });
    const result = await copy(regions, { snapshotId, encrypted: true, skipUnlisted: !encrypted });
    assert.deepEqual(await listedBlocks(destination, result.snapshotId), [...blocks.keys()]);
    assert.deepEqual([result.blocksTransferred, result.zerosSent], [3, 0]);
    assert.deepEqual(result.warnings, encrypted ? [] : ['UNLISTED_SKIPPED']);
  }
});

test('an incremental copy sends what has changed, and zeros for what is gone; its parent is the copy of the base', async (t) => {
  ownState(t);
  const regions = await startRegions(t, { blockSize: BLOCK, pageSize: 2 });
  const { source, destination } = regions;
  const { base, next, blocks } = await chainOf(regions);
  const { snapshotId: parentSnapshotId } = await copy(regions, { snapshotId: base });
  for (const region of [source, destination]) region.clearLog();
  const result = await copy(regions, { snapshotId: next, since: base, parentSnapshotId });

  assert.equal(destination.snapshot(result.snapshotId)?.parentSnapshotId, parentSnapshotId);
  const sent = destination.requests('PutSnapshotBlock').map(({ blockIndex }) => blockIndex!);
  assert.deepEqual(
    sent.sort((a, b) => a - b),
    [1, 5, 6, 700],
  );
  const read = source.requests('GetSnapshotBlock').map(({ blockIndex }) => blockIndex!);
  assert.deepEqual(
    read.sort((a, b) => a - b),
    [1, 5, 6],
  );
  const gone = new Map([...blocks, [700, Buffer.alloc(BLOCK)]]);
  const listed = await listedBlocks(destination, result.snapshotId);
  await assertCopy(regions, result.snapshotId, { blocks: gone, blockSize: BLOCK }, listed);
  assert.deepEqual([result.blocksTransferred, result.blocksSkipped, result.zerosSent], [4, 1020, 1]);
});

test('the new part of a larger volume gets zeros in an incremental copy only where the copy is encrypted', async (t) => {
  ownState(t);
  for (const encrypted of [false, true]) {
    const regions = await startRegions(t, { blockSize: LARGE_BLOCK });
    const { source, destination } = regions;
    const base = await source.putSnapshot({
      volumeSizeGiB: 1,
      blocks: randomBlocks([0, 2], [], LARGE_BLOCK),
    });
    const next = await source.putSnapshot({
      volumeSizeGiB: 2,
      blocks: randomBlocks([LARGE_BLOCKS + 1], [], LARGE_BLOCK),
      parent: base,
    });
    const parent = await destination.putSnapshot({ volumeSizeGiB: 1, blocks: {}, encrypted });
    const options = { snapshotId: next, since: base, parentSnapshotId: parent };
    const { snapshotId, zerosSent } = await copy(regions, options);
    const beyond = encrypted
      ? Array.from({ length: LARGE_BLOCKS }, (_, at) => LARGE_BLOCKS + at)
      : [LARGE_BLOCKS + 1];
    assert.deepEqual(await listedBlocks(destination, snapshotId), beyond);
    assert.equal(zerosSent, beyond.length - 1);
    if (!encrypted) continue;
    const { snapshotId: sparse } = await copy(regions, { ...options, skipUnlisted: true });
    assert.deepEqual(await listedBlocks(destination, sparse), [LARGE_BLOCKS + 1]);
  }
});

test('a copy waits until it is usable', async (t) => {
  ownState(t);
  const regions = await startRegions(t, { blockSize: BLOCK }, { completionDelayMs: 50 });
  const snapshotId = await regions.source.putSnapshot({ volumeSizeGiB: 1, blocks: {} });
  assert.equal((await copy(regions, { snapshotId })).status, 'pending');
  const wait = { successesRequired: 1, secondsBetweenAttempts: 0.01 };
  assert.equal((await copy(regions, { snapshotId, wait })).status, 'completed');
});

test('a block that arrives with wrong data is read again, and never sent', async (t) => {
  ownState(t);
  const regions = await startRegions(t, { blockSize: BLOCK });
  const { source, destination } = regions;
  const blocks = randomBlocks([0, 1, 2, 3], [], BLOCK);
  const snapshotId = await source.putSnapshot({ volumeSizeGiB: 1, blocks });
  source.setFaults([
    { operation: 'GetSnapshotBlock', block: 2, first: 2, action: { type: 'flip-bit', byte: 7, bit: 1 } },
  ]);
  const result = await copy(regions, { snapshotId });
  const listed = await listedBlocks(destination, result.snapshotId);
  await assertCopy(regions, result.snapshotId, { blocks, blockSize: BLOCK }, listed);
  assert.equal(result.retries, 2);
  assert.equal(destination.requests('PutSnapshotBlock').length, 4);
});

test('blocks of different sizes cannot be copied, and the snapshot that was started is deleted', async (t) => {
  const state = ownState(t);
  const regions = await startRegions(t, { blockSize: BLOCK }, { blockSize: BLOCK / 2 });
  const { source, destination } = regions;
  const snapshotId = await source.putSnapshot({ volumeSizeGiB: 1, blocks: randomBlocks([0], [], BLOCK) });
  await assert.rejects(copy(regions, { snapshotId }), {
    code: 'BAD_GEOMETRY',
    message: 'the source has blocks of 1048576 bytes, the destination of 524288',
  });
  assert.equal(destination.requests('DeleteSnapshot').length, 1);
  assert.equal(source.requests('GetSnapshotBlock').length, 1);
  assert.deepEqual(readdirSync(state), []);
});

test('a copy within a region and account needs a difference; its endpoint is then that of both', async (t) => {
  ownState(t);
  const regions = await startRegions(t, { blockSize: BLOCK });
  const { source, service } = regions;
  const snapshotId = await source.putSnapshot({ volumeSizeGiB: 1, blocks: randomBlocks([4], [], BLOCK) });
  const here = { endpoint: service.endpoint, region: service.region, snapshotId };
  for (const same of [{}, { to: {} }, { to: { region: undefined } }, { tags: [] }, { encrypted: false }])
    await assert.rejects(copySnapshot({ ...here, ...same }), { class: 'usage', code: 'COPY_ONTO_ITSELF' });
  assert.deepEqual(source.log, []);
  const { snapshotId: made } = await copySnapshot({ ...here, description: 'again' });
  assert.deepEqual(await listedBlocks(source, made), [4]);
});

test('a copy into the region of its source that changes nothing is made, with a warning', async (t) => {
  ownState(t);
  const { source, service } = await startRegions(t, { blockSize: BLOCK });
  const snapshotId = await source.putSnapshot({ volumeSizeGiB: 1, blocks: randomBlocks([4], [], BLOCK) });
  const { endpoint, region } = service;
  const { events, onEvent } = recorder();
  const codes = () => events.flatMap((event) => (event.type === 'warning' ? [event.code] : []));
  const here = { endpoint, region, snapshotId, to: { region }, onEvent };
  await estimateCopy(here);
  assert.deepEqual(codes(), ['COPY_UNCHANGED']);
  const { snapshotId: made } = await copySnapshot(here);
  assert.deepEqual(await listedBlocks(source, made), [4]);
  assert.deepEqual(codes(), ['COPY_UNCHANGED', 'COPY_UNCHANGED']);
  await copySnapshot({ ...here, description: 'again' });
  assert.equal(codes().length, 2);
});

test("the source's endpoint is not used for another region", async (t) => {
  ownState(t);
  const { source, service } = await startRegions(t, { blockSize: BLOCK });
  const snapshotId = await source.putSnapshot({ volumeSizeGiB: 1, blocks: {} });
  const proxy = process.env.AWS_ENDPOINT_URL;
  // A port that nothing listens on stands for the endpoint of AWS.
  process.env.AWS_ENDPOINT_URL = 'http://127.0.0.1:1';
  t.after(() => {
    if (proxy === undefined) delete process.env.AWS_ENDPOINT_URL;
    else process.env.AWS_ENDPOINT_URL = proxy;
  });
  const options = { snapshotId, endpoint: service.endpoint, region: service.region, retryForMs: 50 };
  await assert.rejects(copySnapshot({ ...options, to: { region: 'eu-west-1' } }), {
    code: 'ENDPOINT_UNREACHABLE',
    message: /^in the destination region eu-west-1: StartSnapshot/,
  });
  const { region } = await copySnapshot({ ...options, to: { region: service.region } });
  assert.equal(region, service.region);
});

test('failures and throttles of both sides are retried by the policy of each, and counted together', async (t) => {
  ownState(t);
  const regions = await startRegions(t, { blockSize: BLOCK });
  const { source, destination, service } = regions;
  const blocks = randomBlocks([0, 1, 2, 3], [], BLOCK);
  const snapshotId = await source.putSnapshot({ volumeSizeGiB: 1, blocks });
  const throttle = { type: 'error', status: 400, code: 'RequestThrottledException' } as const;
  source.setFaults([
    { operation: 'ListSnapshotBlocks', first: 1, action: { type: 'drop' } },
    { operation: 'GetSnapshotBlock', first: 2, action: throttle },
  ]);
  destination.setFaults([
    { operation: 'PutSnapshotBlock', first: 3, action: throttle },
    { operation: 'StartSnapshot', first: 1, action: { type: 'drop', executed: true } },
    { operation: 'CompleteSnapshot', first: 1, action: { type: 'drop', executed: true } },
  ]);
  const { events, onEvent } = recorder();
  const result = await copySnapshot({ ...service, snapshotId, onEvent, wait: { successesRequired: 1 } });
  assert.deepEqual([result.retries, result.throttles], [8, 5]);
  const retried = events.flatMap((event) => (event.type === 'retry' ? [event.message] : []));
  assert.equal(retried.filter((text) => text.startsWith('in the source region us-east-1: ')).length, 3);
  assert.equal(retried.filter((text) => text.startsWith('in the destination region eu-west-1: ')).length, 5);
  assert.equal(destination.requests('GetSnapshotBlock').length, 0);
  const listed = await listedBlocks(destination, result.snapshotId);
  await assertCopy(regions, result.snapshotId, { blocks, blockSize: BLOCK }, listed);
  const phases = events.flatMap((event) => (event.type === 'phase' ? [event.phase] : []));
  assert.deepEqual(phases, ['completing', 'waiting']);
});

test('a copy that stands still names the side that it waits for', async (t) => {
  ownState(t);
  const regions = await startRegions(t, { blockSize: BLOCK });
  const { source, destination, service } = regions;
  const snapshotId = await source.putSnapshot({ volumeSizeGiB: 1, blocks: randomBlocks([0, 1], [], BLOCK) });
  for (const [side, operation, what] of [
    [source, 'GetSnapshotBlock', 'block 1 from the source region us-east-1'],
    [destination, 'PutSnapshotBlock', 'block 1 to be written to the destination region eu-west-1'],
  ] as const) {
    side.setFaults([{ operation, block: 1, action: { type: 'stall' } }]);
    const controller = new AbortController();
    const waits: string[] = [];
    const onEvent = (event: TransferEvent) => {
      if (event.type !== 'waiting' || !event.what.startsWith('block')) return;
      waits.push(event.what);
      controller.abort();
    };
    const { signal } = controller;
    await assert.rejects(copySnapshot({ ...service, snapshotId, onEvent, signal, fresh: true }), {
      class: 'aborted',
    });
    assert.equal(waits[0], what);
    side.setFaults([]);
  }
});

for (const since of [false, true])
  test(`a copy ${since ? 'since a base ' : ''}whose source may be listed but not read begins no snapshot`, async (t) => {
    const state = ownState(t);
    const regions = await startRegions(t, { blockSize: BLOCK });
    const { source, destination } = regions;
    const { base, next, baseBlocks } = await chainOf(regions);
    const parentSnapshotId = await destination.putSnapshot({ volumeSizeGiB: 1, blocks: baseBlocks });
    const action = { type: 'error', status: 403, code: 'AccessDeniedException' } as const;
    source.setFaults([{ operation: 'GetSnapshotBlock', action }]);
    const options = { snapshotId: next, ...(since ? { since: base, parentSnapshotId } : {}) };
    await assert.rejects(copy(regions, options), { class: 'config', code: 'ACCESS_DENIED' });
    assert.deepEqual(destination.requests('StartSnapshot'), []);
    assert.deepEqual(readdirSync(state), []);
    source.setFaults([]);
    source.clearLog();
    await copy(regions, options);
    const read = source.requests('GetSnapshotBlock').map(({ blockIndex }) => blockIndex);
    assert.equal(new Set(read).size, read.length, 'no block is read twice');
  });
