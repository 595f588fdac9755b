import assert from 'node:assert/strict';
import {
  closeSync,
  createReadStream,
  existsSync,
  ftruncateSync,
  openSync,
  readdirSync,
  readFileSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Emulator } from '../../src/emulator/index.ts';
import { downloadSnapshot, estimateUpload, type UploadOptions, uploadSnapshot } from '../../src/index.ts';
import { faults } from '../faults/faults.ts';
import '../support/in-memory.ts';
import { needsLoop, Scratch } from '../support/loop.ts';
import { firstWrongBlock, GIB, randomBlocks, recorder, scratch, startService } from '../support/service.ts';
import { until } from '../support/until.ts';

const BLOCK = 524_288;
const LAST = GIB / BLOCK - 1;

/** The blocks of an image, zeros elsewhere. */
type Blocks = Map<number, Buffer>;

interface Parts {
  readonly emulator: Emulator;
  readonly service: { endpoint: string; region: string };
  readonly directory: string;
  readonly parent: string;
  readonly parentBlocks: Blocks;
  readonly source: string;
  readonly blocks: Blocks;
  /** Blocks that differ, ascending. */
  readonly differing: number[];
}

/** A parent with data and listed zeros, and a source with the same, changed, new, zeroed and no blocks. */
async function makeParts(t: TestContext, options: { encrypted?: boolean } = {}): Promise<Parts> {
  const { emulator, service } = await startService(t, { pageSize: 100 });
  const directory = scratch(t);
  const parentBlocks = randomBlocks([0, 1, 5, 100, 101, 500, 900, LAST], [7, 8, 9]);
  const parent = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: parentBlocks, ...options });
  const blocks: Blocks = new Map([...parentBlocks, ...randomBlocks([5, 8, 200, 201])]);
  // Zeros over data.
  for (const zero of [100, 900]) blocks.set(zero, Buffer.alloc(BLOCK));
  const source = join(directory, 'disk.img');
  writeImage(source, blocks);
  return {
    emulator,
    service,
    directory,
    parent,
    parentBlocks,
    source,
    blocks,
    differing: [5, 8, 100, 200, 201, 900],
  };
}

/** Zero blocks become holes. */
function writeImage(path: string, blocks: Blocks, size = GIB): void {
  const file = openSync(path, 'w');
  ftruncateSync(file, size);
  for (const [block, data] of blocks)
    if (data.some((byte) => byte !== 0)) writeSync(file, data, 0, BLOCK, block * BLOCK);
  closeSync(file);
}

const incremental = ({ source, parent, service }: Parts): UploadOptions => ({
  source,
  parentSnapshotId: parent,
  incremental: true,
  // Much faster, and the same blocks.
  detectHoles: true,
  ...service,
});

const putBlocks = ({ emulator }: Parts) =>
  emulator
    .requests('PutSnapshotBlock')
    .map(({ blockIndex }) => blockIndex!)
    .sort((a, b) => a - b);

const fetched = ({ emulator, parent }: Parts) =>
  emulator
    .requests('GetSnapshotBlock')
    .filter(({ snapshotId }) => snapshotId === parent)
    .map(({ blockIndex }) => blockIndex!)
    .sort((a, b) => a - b);

async function assertChild({ emulator, blocks, parent }: Parts, snapshotId: string): Promise<void> {
  await until(() => emulator.snapshot(snapshotId)?.status !== 'pending');
  const child = emulator.snapshot(snapshotId);
  assert.deepEqual([child?.status, child?.parentSnapshotId], ['completed', parent]);
  assert.equal(await firstWrongBlock(await emulator.readImage(snapshotId), blocks, GIB), undefined);
}

/** The three kinds of base. */
const bases = {
  'the service': async () => ({}),
  'an image': async (parts: Parts) => {
    const base = join(parts.directory, 'parent.img');
    writeImage(base, parts.parentBlocks);
    return { base };
  },
  'a digest file': async (parts: Parts) => {
    const base = join(parts.directory, 'parent.digests');
    const target = join(parts.directory, 'downloaded.img');
    await downloadSnapshot({ snapshotId: parts.parent, target, saveDigests: base, ...parts.service });
    return { base };
  },
} as const;

for (const [name, makeBase] of Object.entries(bases)) {
  for (const detectHoles of [false, true]) {
    const holes = detectHoles ? ', with holes' : '';
    test(`only the blocks that differ are put, by ${name}${holes}`, async (t) => {
      const parts = await makeParts(t);
      const base = await makeBase(parts);
      parts.emulator.clearLog();
      const { events, onEvent } = recorder();
      const result = await uploadSnapshot({ ...incremental(parts), ...base, detectHoles, onEvent });
      await assertChild(parts, result.snapshotId);
      assert.deepEqual(putBlocks(parts), parts.differing);
      const gets = fetched(parts);
      if (name === 'the service') assert.deepEqual(gets, [...parts.parentBlocks.keys()]);
      if (name === 'an image') assert.ok(gets.length <= 64, 'only a sample is fetched');
      if (name === 'a digest file') assert.deepEqual(gets, []);
      const { blocksTransferred, blocksSkipped, bytesDone, bytesTransferred, bytesToMove } = result;
      assert.equal(blocksTransferred, parts.differing.length);
      assert.equal(blocksSkipped, LAST + 1 - parts.differing.length);
      assert.deepEqual([bytesDone, bytesTransferred], [GIB, parts.differing.length * BLOCK]);
      assert.equal(bytesToMove, bytesTransferred);
      const saved = (blocksSkipped! * 0.006 - (name === 'the service' ? gets.length : 0) * 0.003) / 1_000;
      assert.ok(Math.abs(result.dollarsSaved! - saved) < 1e-9);
      assert.equal(events.filter(({ type }) => type === 'warning').length, 0);
    });
  }
}

test('over an encrypted parent, zeros are put where it lists nothing, and only there', async (t) => {
  const parts = await makeParts(t, { encrypted: true });
  const base = await bases['a digest file'](parts);
  parts.emulator.clearLog();
  const { snapshotId } = await uploadSnapshot({ ...incremental(parts), ...base });
  await assertChild(parts, snapshotId);
  const same = [...parts.parentBlocks.keys()].filter((block) => !parts.differing.includes(block));
  const expected = Array.from({ length: LAST + 1 }, (_, block) => block).filter(
    (block) => !same.includes(block),
  );
  assert.deepEqual(putBlocks(parts), expected);
});

test('where EC2 may not be asked, the parent counts as encrypted, with a warning', async (t) => {
  const parts = await makeParts(t);
  parts.emulator.setFaults([{ operation: 'DescribeSnapshots', action: denied }]);
  const controller = new AbortController();
  // One block of zeros that the parent does not list is enough.
  void parts.emulator
    .waitForRequest(({ operation, blockIndex }) => operation === 'PutSnapshotBlock' && blockIndex === 3)
    .then(() => controller.abort());
  const { events, onEvent } = recorder();
  const options = { ...incremental(parts), onEvent, signal: controller.signal };
  await assert.rejects(uploadSnapshot(options), { class: 'aborted' });
  const [warning] = events.filter((event) => event.type === 'warning');
  assert.deepEqual([warning?.code, warning?.message.includes(parts.parent)], ['NOT_DESCRIBED', true]);
});

test('while EC2 is busy nothing is started, and afterwards only what differs is sent', async (t) => {
  const parts = await makeParts(t);
  const { emulator } = parts;
  for (const [status, code, expected] of [
    [503, 'RequestLimitExceeded', 'THROTTLED'],
    [503, 'Unavailable', 'SERVICE_ERROR'],
  ] as const) {
    const action = { type: 'error', status, code } as const;
    emulator.setFaults([{ operation: 'DescribeSnapshots', action }]);
    await assert.rejects(uploadSnapshot({ ...incremental(parts), retryForMs: 100 }), {
      class: 'gave-up',
      code: expected,
    });
  }
  assert.equal(emulator.requests('StartSnapshot').length, 0);
  const action = { type: 'error', status: 503, code: 'RequestLimitExceeded' } as const;
  emulator.setFaults([{ operation: 'DescribeSnapshots', first: 2, action }]);
  const { snapshotId } = await uploadSnapshot({ ...incremental(parts), retryForMs: 10_000 });
  await assertChild(parts, snapshotId);
  assert.deepEqual(putBlocks(parts), parts.differing);
});

test('what lies behind a shorter source becomes zeros', async (t) => {
  const parts = await makeParts(t);
  const size = 101 * BLOCK + 100;
  truncateSync(parts.source, size);
  const { snapshotId } = await uploadSnapshot(incremental(parts));
  const cut = Buffer.concat([parts.blocks.get(101)!.subarray(0, 100)], BLOCK);
  const within = [...parts.blocks].filter(([block]) => block < 101);
  await assertChild({ ...parts, blocks: new Map([...within, [101, cut]]) }, snapshotId);
  assert.deepEqual(putBlocks(parts), [5, 8, 100, 101, 500, 900, LAST]);
});

test('a source that has grown needs a volume size, and its new part is put', async (t) => {
  const parts = await makeParts(t);
  const grown = randomBlocks([LAST + 1, LAST + 700]);
  const blocks = new Map([...parts.blocks, ...grown]);
  writeImage(parts.source, blocks, 2 * GIB);
  await assert.rejects(uploadSnapshot(incremental(parts)), { class: 'usage', code: 'VOLUME_TOO_SMALL' });
  assert.equal(parts.emulator.requests('StartSnapshot').length, 0);
  const { snapshotId, volumeSize } = await uploadSnapshot({ ...incremental(parts), volumeSizeGiB: 2 });
  assert.equal(volumeSize, 2 * GIB);
  assert.deepEqual(putBlocks(parts), [...parts.differing, LAST + 1, LAST + 700]);
  assert.equal(await firstWrongBlock(await parts.emulator.readImage(snapshotId), blocks, 2 * GIB), undefined);
});

test('a stream can be compared with the parent, too', async (t) => {
  const parts = await makeParts(t);
  // Pieces that are large, for speed, and end within blocks.
  const source = createReadStream(parts.source, { highWaterMark: 1_000_000 });
  const { detectHoles: _, ...options } = incremental(parts);
  const { snapshotId } = await uploadSnapshot({ ...options, source, volumeSizeGiB: 1 });
  await assertChild(parts, snapshotId);
  assert.deepEqual(putBlocks(parts), parts.differing);
});

test('a volume smaller than the parent is refused', async (t) => {
  const parts = await makeParts(t);
  const blocks = randomBlocks([LAST + 1]);
  const { parent: small, emulator } = parts;
  const parent = await emulator.putSnapshot({ volumeSizeGiB: 2, blocks, parent: small });
  await assert.rejects(uploadSnapshot({ ...incremental({ ...parts, parent }), volumeSizeGiB: 1 }), {
    class: 'refused',
    code: 'CHILD_TOO_SMALL',
  });
  assert.equal(emulator.requests('StartSnapshot').length, 0);
});

/** An image that differs from any sample of the parent. */
function writeOther(path: string): void {
  const file = openSync(path, 'w');
  ftruncateSync(file, GIB);
  for (let block = 0; block <= LAST; block++) writeSync(file, 'x', block * BLOCK);
  closeSync(file);
}

test('an image that is not the parent is found by a sample, before a snapshot is started', async (t) => {
  const parts = await makeParts(t);
  const base = join(parts.directory, 'other.img');
  writeOther(base);
  await assert.rejects(uploadSnapshot({ ...incremental(parts), base }), {
    class: 'integrity',
    code: 'BASE_MISMATCH',
    message: new RegExp(
      `other.img does not hold ${parts.parent}: bytes \\d+-\\d+ differ; nothing was uploaded`,
    ),
  });
  assert.equal(parts.emulator.requests('StartSnapshot').length, 0);
  const { blocksTransferred } = await uploadSnapshot({ ...incremental(parts), base, trustBase: true });
  // Every block that the parent lists seems to differ.
  assert.ok(blocksTransferred >= parts.parentBlocks.size);
});

test('all of an image is compared when asked to', async (t) => {
  const parts = await makeParts(t);
  const base = join(parts.directory, 'parent.img');
  const damaged = Buffer.from(parts.parentBlocks.get(500)!);
  damaged[77]! ^= 1;
  writeImage(base, new Map([...parts.parentBlocks, [500, damaged]]));
  await assert.rejects(uploadSnapshot({ ...incremental(parts), base, verifyBase: true }), {
    code: 'BASE_MISMATCH',
    message: new RegExp(`bytes ${500 * BLOCK}-${501 * BLOCK} differ`),
  });
  assert.equal(parts.emulator.requests('StartSnapshot').length, 0);
  writeImage(base, parts.parentBlocks);
  const { snapshotId } = await uploadSnapshot({ ...incremental(parts), base, verifyBase: true });
  await assertChild(parts, snapshotId);
});

test('an image of another size, a pipe, and the source itself are no base', async (t) => {
  const parts = await makeParts(t);
  const base = join(parts.directory, 'parent.img');
  const options = { ...incremental(parts), base };
  writeFileSync(base, 'short');
  await assert.rejects(uploadSnapshot(options), {
    class: 'refused',
    code: 'BASE_MISMATCH',
    message: /is of 5 bytes, and the volume of .* of 1073741824/,
  });
  await assert.rejects(uploadSnapshot({ ...options, base: '-' }), {
    class: 'refused',
    code: 'BASE_MISMATCH',
  });
  await assert.rejects(uploadSnapshot({ ...options, base: parts.source }), { class: 'usage' });
  assert.equal(parts.emulator.requests('StartSnapshot').length, 0);
});

test('the source under another name is no base', needsLoop, async (t) => {
  const place = await Scratch.for(t);
  const parts = await makeParts(t);
  const device = await place.attach(parts.source);
  const part = await place.partition(device, 0, GIB / 512);
  const { detectHoles: _, ...options } = incremental(parts);
  const stream = createReadStream(parts.source);
  t.after(() => stream.destroy());
  const pairs = [
    [parts.source, device],
    [device, parts.source],
    [part, parts.source],
    [device, part],
    [stream, parts.source],
  ] as const;
  for (const [source, base] of pairs)
    await assert.rejects(uploadSnapshot({ ...options, source, base, volumeSizeGiB: 1 }), {
      class: 'usage',
      message: `${base} is the source, and cannot be its own base`,
    });
  assert.deepEqual(parts.emulator.log, []);
});

test('an image that is written during the upload fails it, and the snapshot is deleted', async (t) => {
  const parts = await makeParts(t);
  const { base } = await bases['an image'](parts);
  void parts.emulator
    .waitForRequest(({ operation }) => operation === 'PutSnapshotBlock')
    .then(() => writeOther(base));
  await assert.rejects(uploadSnapshot({ ...incremental(parts), base, workers: 1 }), {
    class: 'local',
    code: 'SOURCE_CHANGED',
  });
  assert.equal(parts.emulator.requests('CompleteSnapshot').length, 0);
  assert.equal(parts.emulator.requests('DeleteSnapshot').length, 1);
});

test('where nothing differs, the snapshot has no blocks of its own', async (t) => {
  const parts = await makeParts(t);
  writeImage(parts.source, parts.parentBlocks);
  const { snapshotId, blocksTransferred } = await uploadSnapshot(incremental(parts));
  assert.equal(blocksTransferred, 0);
  assert.notEqual(snapshotId, parts.parent);
  await assertChild({ ...parts, blocks: parts.parentBlocks }, snapshotId);
});

const refusal = {
  type: 'error',
  status: 400,
  code: 'ValidationException',
  reason: 'INVALID_PARAMETER_VALUE',
} as const;
const denied = { type: 'error', status: 403, code: 'UnauthorizedOperation' } as const;

for (const deletes of [true, false]) {
  const fate = deletes ? 'deleted' : 'named when it may not be deleted';
  test(`a service that completes no empty snapshot makes the parent the result, and the new one is ${fate}`, async (t) => {
    const parts = await makeParts(t);
    const { emulator } = parts;
    writeImage(parts.source, parts.parentBlocks);
    const rules = [{ operation: 'CompleteSnapshot', action: refusal }] as const;
    emulator.setFaults(deletes ? rules : [...rules, { operation: 'DeleteSnapshot', action: denied }]);
    const { events, onEvent } = recorder();
    const saveDigests = join(parts.directory, 'parent.digests');
    const result = await uploadSnapshot({ ...incremental(parts), saveDigests, onEvent, wait: true });
    assert.deepEqual([result.snapshotId, result.status], [parts.parent, 'completed']);
    const started = events.flatMap((event) => (event.type === 'snapshot' ? [event.snapshotId] : []))[0]!;
    assert.equal(emulator.snapshot(started)?.status, deletes ? undefined : 'pending');
    const warned = events.flatMap((event) => (event.type === 'warning' ? [event] : []));
    assert.deepEqual(
      warned.map(({ code }) => code),
      [deletes ? 'SNAPSHOT_DELETED' : 'SNAPSHOT_LEFT', 'NOTHING_CHANGED'],
    );
    assert.ok(warned[0]!.message.includes(started) && warned[1]!.message.includes(parts.parent));
    // The digests are those of the parent.
    emulator.setFaults([]);
    writeImage(parts.source, parts.blocks);
    emulator.clearLog();
    await uploadSnapshot({ ...incremental(parts), base: saveDigests });
    assert.deepEqual([putBlocks(parts), fetched(parts)], [parts.differing, []]);
  });
}

for (const [what, code, action] of [
  ['does not find', 'SNAPSHOT_NOT_FOUND', faults['reports that the snapshot does not exist']],
  ['has no quota for', 'QUOTA_EXCEEDED', faults['reports an exceeded quota']],
] as const) {
  test(`a service that ${what} the snapshot fails the upload, although nothing differs`, async (t) => {
    const parts = await makeParts(t);
    writeImage(parts.source, parts.parentBlocks);
    parts.emulator.setFaults([{ operation: 'CompleteSnapshot', action }]);
    await assert.rejects(uploadSnapshot(incremental(parts)), { code });
  });
}

test('a completion that is refused although blocks were put is an error', async (t) => {
  const parts = await makeParts(t);
  parts.emulator.setFaults([{ operation: 'CompleteSnapshot', action: refusal }]);
  await assert.rejects(uploadSnapshot(incremental(parts)), { code: 'INVALID_PARAMETER_VALUE' });
});

for (const [name, makeBase] of Object.entries(bases)) {
  test(`an interrupted upload resumes with the same snapshot, and puts nothing twice, by ${name}`, async (t) => {
    const parts = await makeParts(t);
    const { emulator, directory } = parts;
    const base = await makeBase(parts);
    const saveDigests = join(directory, 'child.digests');
    const options = { ...incremental(parts), ...base, saveDigests, workers: 1, checkpointIntervalMs: 1 };
    emulator.clearLog();
    const controller = new AbortController();
    void emulator
      .waitForRequest(({ operation, blockIndex }) => operation === 'PutSnapshotBlock' && blockIndex === 201)
      .then(() => controller.abort());
    await assert.rejects(uploadSnapshot({ ...options, signal: controller.signal }), { class: 'aborted' });
    const started = emulator.requests('PutSnapshotBlock')[0]!.snapshotId;
    assert.ok(!existsSync(saveDigests) && !existsSync(`${saveDigests}.partial`));
    emulator.clearLog();
    const result = await uploadSnapshot(options);
    assert.equal(result.snapshotId, started);
    assert.ok(result.bytesResumed > 0);
    assert.equal(result.bytesDone, GIB);
    await assertChild(parts, result.snapshotId);
    assert.deepEqual(
      putBlocks(parts).filter((block) => block < 200),
      [],
    );
    // The digest file is that of an upload that was not interrupted.
    const again = join(directory, 'downloaded.digests');
    const target = join(directory, 'child.img');
    await downloadSnapshot({ snapshotId: result.snapshotId, target, saveDigests: again, ...parts.service });
    assert.ok(readFileSync(saveDigests).equals(readFileSync(again)));
  });
}

test('with another base an upload starts over', async (t) => {
  const parts = await makeParts(t);
  const { emulator } = parts;
  const { base } = await bases['a digest file'](parts);
  const options = { ...incremental(parts), workers: 1, checkpointIntervalMs: 1 };
  const controller = new AbortController();
  void emulator
    .waitForRequest(({ operation, blockIndex }) => operation === 'PutSnapshotBlock' && blockIndex === 201)
    .then(() => controller.abort());
  await assert.rejects(uploadSnapshot({ ...options, signal: controller.signal }), { class: 'aborted' });
  emulator.clearLog();
  const { events, onEvent } = recorder();
  const { snapshotId } = await uploadSnapshot({ ...options, base, onEvent });
  await assertChild(parts, snapshotId);
  assert.deepEqual(putBlocks(parts), parts.differing);
  assert.ok(events.some((event) => event.type === 'warning' && event.code === 'JOURNAL_NOT_USED'));
});

test('options that need one another are an error before any request', async (t) => {
  const parts = await makeParts(t);
  const { incremental: _, parentSnapshotId: parentId, ...full } = incremental(parts);
  const usage = { class: 'usage' };
  await assert.rejects(uploadSnapshot({ ...full, incremental: true }), usage);
  for (const option of [{ base: 'x' }, { trustBase: true }, { verifyBase: true }]) {
    await assert.rejects(uploadSnapshot({ ...full, parentSnapshotId: parentId, ...option }), usage);
  }
  const both = { base: parts.source, trustBase: true, verifyBase: true };
  await assert.rejects(uploadSnapshot({ ...incremental(parts), ...both }), usage);
  await assert.rejects(uploadSnapshot({ ...incremental(parts), verifyBase: true }), usage);
  assert.deepEqual(parts.emulator.log, []);
});

test('a dry run counts what may have to be sent, and fetches and starts nothing', async (t) => {
  const parts = await makeParts(t);
  const options = incremental(parts);
  const { base } = await bases['a digest file'](parts);
  parts.emulator.clearLog();
  const plan = await estimateUpload(options);
  // The blocks of the source that are no holes, and those that the parent lists.
  const possible = new Set([...parts.parentBlocks.keys(), ...parts.differing]).size;
  assert.deepEqual([plan.blocks, plan.atMost, plan.volumeSize], [possible, true, GIB]);
  assert.equal(plan.requests, possible + 2 + parts.parentBlocks.size + 1);
  const operations = new Set(parts.emulator.log.map(({ operation }) => operation));
  assert.deepEqual(operations, new Set(['ListSnapshotBlocks', 'DescribeSnapshots']));
  const withDigests = await estimateUpload({ ...options, base, saveDigests: `${base}.new` });
  assert.deepEqual([withDigests.blocks, withDigests.requests], [possible, possible + 2]);
  assert.ok(!existsSync(`${base}.new.partial`));
  await assert.rejects(estimateUpload({ ...options, saveDigests: parts.source }), { class: 'usage' });
});

test('compares terabytes of holes in flat memory, and saves their digests', async (t) => {
  const { emulator, service } = await startService(t);
  const directory = scratch(t);
  const volumeSizeGiB = 4_096;
  const last = (volumeSizeGiB * GIB) / BLOCK - 1;
  const parentBlocks = randomBlocks([0, 1_000_000, last]);
  const parent = await emulator.putSnapshot({ volumeSizeGiB, blocks: parentBlocks });
  const changed = randomBlocks([1_000_001, last]);
  const blocks = new Map([...parentBlocks, ...changed]);
  const source = join(directory, 'disk.img');
  writeImage(source, blocks, volumeSizeGiB * GIB);
  let most = 0;
  const onEvent = () => {
    most = Math.max(most, process.memoryUsage().arrayBuffers);
  };
  const saveDigests = join(directory, 'disk.digests');
  const options = { source, parentSnapshotId: parent, incremental: true, detectHoles: true, ...service };
  const { snapshotId, blocksSkipped } = await uploadSnapshot({ ...options, saveDigests, onEvent });
  assert.equal(blocksSkipped, last + 1 - changed.size);
  await until(() => emulator.snapshot(snapshotId)?.status !== 'pending');
  assert.deepEqual(emulator.snapshot(snapshotId)?.writtenBlocks, [...changed.keys()]);
  await uploadSnapshot({ ...options, parentSnapshotId: snapshotId, base: saveDigests, onEvent });
  assert.ok(most < 128 * 2 ** 20, `${most} bytes of buffers`);
});

test('a second list of the parent with other sizes fails the upload, and its snapshot is not completed', async (t) => {
  for (const contents of ['other-blocks', 'other-volume'] as const) {
    const parts = await makeParts(t);
    const { emulator } = parts;
    emulator.setFaults([{ operation: 'ListSnapshotBlocks', nth: 2, action: { type: 'list', contents } }]);
    await assert.rejects(uploadSnapshot(incremental(parts)), { class: 'permanent', code: 'BAD_LIST' });
    assert.equal(emulator.requests('CompleteSnapshot').length, 0);
  }
});

test('a parent whose blocks have another size than those of the new snapshot is an error, and the snapshot is deleted', async (t) => {
  const parts = await makeParts(t);
  const { emulator } = parts;
  const parent = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: randomBlocks([0, 5]) });
  emulator.setFaults([
    { operation: 'ListSnapshotBlocks', action: { type: 'list', contents: 'other-blocks' } },
  ]);
  await assert.rejects(uploadSnapshot(incremental({ ...parts, parent })), {
    code: 'BAD_GEOMETRY',
    message: new RegExp(`${parent} has blocks of 1048576 bytes, the new snapshot of 524288`),
  });
  assert.equal(emulator.requests('DeleteSnapshot').length, 1);
  assert.equal(emulator.requests('PutSnapshotBlock').length, 0);
});

test('an incremental upload begins no snapshot when the parent may be listed but not read', async (t) => {
  const parts = await makeParts(t);
  const { emulator, directory, blocks } = parts;
  const action = { type: 'error', status: 403, code: 'AccessDeniedException' } as const;
  emulator.setFaults([{ operation: 'GetSnapshotBlock', action }]);
  await assert.rejects(uploadSnapshot(incremental(parts)), { class: 'config', code: 'ACCESS_DENIED' });
  assert.deepEqual(emulator.requests('StartSnapshot'), []);
  assert.deepEqual(readdirSync(directory), ['disk.img']);
  emulator.setFaults([]);
  emulator.clearLog();
  const { snapshotId } = await uploadSnapshot(incremental(parts));
  assert.equal(await firstWrongBlock(await emulator.readImage(snapshotId), blocks, GIB), undefined);
  assert.deepEqual([...new Set(fetched(parts))].length, fetched(parts).length, 'a block was fetched twice');
});
