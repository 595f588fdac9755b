import assert from 'node:assert/strict';
import {
  closeSync,
  existsSync,
  ftruncateSync,
  linkSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Emulator, FaultRule } from '../../src/emulator/index.ts';
import { type DownloadOptions, downloadSnapshot, estimateDownload } from '../../src/index.ts';
import '../support/in-memory.ts';
import { needsLoop, Scratch } from '../support/loop.ts';
import { bytesAt, firstWrongBlock, GIB, randomBlocks, recorder, startService } from '../support/service.ts';
import { stateOf } from '../support/state-of.ts';

const BLOCK = 524_288;
const LAST = GIB / BLOCK - 1;
/** The most blocks that the proof fetches: 32 MiB, the last block and 64 random ones. */
const PROOF = 64 + 1 + 64;

interface Pair {
  readonly emulator: Emulator;
  readonly service: { endpoint: string; region: string };
  readonly base: string;
  readonly snapshotId: string;
  readonly baseBlocks: Map<number, Buffer>;
  readonly blocks: Map<number, Buffer>;
  readonly changed: Map<number, Buffer>;
}

/** A base, and its child with changed, new and gone blocks. */
async function makePair(t: TestContext): Promise<Pair> {
  const { emulator, service } = await startService(t, { pageSize: 100 });
  const baseBlocks = randomBlocks([0, 1, 5, 100, 101, 102, 500, 900, LAST], [7]);
  const base = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: baseBlocks });
  const changed = randomBlocks([5, 101, 700, 701]);
  const snapshotId = await emulator.putSnapshot({
    volumeSizeGiB: 1,
    blocks: changed,
    parent: base,
    gone: [102, 900],
  });
  const blocks = new Map([...baseBlocks, ...changed]);
  for (const gone of [102, 900]) blocks.delete(gone);
  return { emulator, service, base, snapshotId, baseBlocks, blocks, changed };
}

function writeImage(path: string, blocks: ReadonlyMap<number, Buffer>): void {
  closeSync(openSync(path, 'a'));
  const file = openSync(path, 'r+');
  if (statSync(path).isFile()) ftruncateSync(file, GIB);
  for (const [block, data] of blocks) writeSync(file, data, 0, BLOCK, block * BLOCK);
  closeSync(file);
}

async function targetOf(t: TestContext, kind: 'file' | 'device') {
  const scratch = await Scratch.for(t);
  process.env.STATE_DIRECTORY = scratch.directory;
  if (kind === 'device') {
    const { device, backing } = await scratch.loop({ bytes: GIB });
    return { target: device, medium: backing, between: backing, scratch };
  }
  const target = scratch.path('disk.img');
  return { target, medium: target, between: `${target}.partial`, scratch };
}

for (const kind of ['file', 'device'] as const) {
  const needs = kind === 'device' ? needsLoop : {};

  test(`a ${kind} becomes the snapshot, and only what changed is fetched`, needs, async (t) => {
    const { emulator, service, base, snapshotId, baseBlocks, blocks } = await makePair(t);
    const { target, medium } = await targetOf(t, kind);
    writeImage(medium, baseBlocks);
    const before = statSync(medium);
    emulator.clearLog();
    const { events, onEvent } = recorder();
    const result = await downloadSnapshot({ since: base, snapshotId, target, ...service, onEvent });
    assert.equal(await firstWrongBlock(medium, blocks, GIB), undefined);
    const fetched = emulator.requests('GetSnapshotBlock');
    const ofSnapshot = fetched.filter((request) => request.snapshotId === snapshotId);
    // A device's first and last blocks are always fetched: 0 and 1 of the head, and the last.
    assert.equal(ofSnapshot.length, kind === 'device' ? 4 + 3 : 4);
    assert.ok(fetched.length - ofSnapshot.length <= PROOF);
    assert.deepEqual([result.bytesDone, result.bytesTransferred], [GIB, ofSnapshot.length * BLOCK]);
    assert.equal(statSync(medium).ino, before.ino);
    assert.equal(statSync(medium).mode, before.mode);
    const phases = events.flatMap((event) => (event.type === 'phase' ? [event.phase] : []));
    assert.deepEqual([...new Set(phases)], ['proving', 'committing']);
    assert.equal(events.filter(({ type }) => type === 'start').length, 1);
  });

  test(`a ${kind} that does not hold the base is not changed`, needs, async (t) => {
    const { service, base, snapshotId, baseBlocks } = await makePair(t);
    const { target, medium } = await targetOf(t, kind);
    // In the first 32 MiB, where the base lists no block.
    writeImage(medium, new Map([...baseBlocks, ...randomBlocks([30, 31])]));
    const before = statSync(medium, { bigint: true });
    await assert.rejects(downloadSnapshot({ since: base, snapshotId, target, ...service }), {
      class: 'integrity',
      code: 'BASE_DIFFERS',
      message: new RegExp(`does not hold ${base}: bytes ${30 * BLOCK}-${32 * BLOCK} differ`),
    });
    assert.equal(statSync(medium, { bigint: true }).mtimeNs, before.mtimeNs);
    assert.ok(!existsSync(`${medium}.partial`) && !existsSync(`${medium}.coldsnap-progress`));
  });

  test(
    `an interrupted run leaves a ${kind} that looks like neither, and the same call finishes it`,
    needs,
    async (t) => {
      const { emulator, service, base, snapshotId, baseBlocks, blocks } = await makePair(t);
      const { target, medium, between, scratch } = await targetOf(t, kind);
      writeImage(medium, baseBlocks);
      const options = { since: base, snapshotId, target, workers: 1, checkpointIntervalMs: 1, ...service };
      const controller = new AbortController();
      const isLate = ({ blockIndex, snapshotId: of }: { blockIndex?: number; snapshotId?: string }) =>
        of === snapshotId && blockIndex === 701;
      void emulator.waitForRequest(isLate).then(() => controller.abort());
      const { signal } = controller;
      const { events, onEvent } = recorder();
      await assert.rejects(downloadSnapshot({ ...options, signal, onEvent }), { class: 'aborted' });
      // The file held data before: nobody is to delete it.
      const warned = events.flatMap((event) => (event.type === 'warning' ? [event.message] : []));
      assert.match(warned.join(), /between two states.* Run the same command again to finish it\.$/);
      assert.doesNotMatch(warned.join(), /delete/);
      if (kind === 'file') assert.ok(!existsSync(target) && existsSync(between));
      else assert.ok(bytesAt(medium, 0, 4 * BLOCK).every((byte) => byte === 0));

      // A full download and one since another base are refused, and touch nothing.
      const state = () => statSync(between, { bigint: true }).mtimeNs;
      const unchanged = state();
      const { since: _since, ...full } = options;
      await assert.rejects(downloadSnapshot(full), { class: 'refused', code: 'TARGET_BETWEEN' });
      await assert.rejects(downloadSnapshot({ ...options, snapshotId: base, since: snapshotId }), {
        class: 'refused',
        code: 'TARGET_BETWEEN',
        message: new RegExp(
          `${target} is between two states: ${snapshotId} based on ${base} was interrupted`,
        ),
      });
      assert.equal(state(), unchanged);

      emulator.clearLog();
      const result = await downloadSnapshot(options);
      assert.equal(await firstWrongBlock(medium, blocks, GIB), undefined);
      assert.ok(!existsSync(`${medium}.partial`));
      assert.deepEqual(
        readdirSync(scratch.directory).filter((name) => name.endsWith('.coldsnap-progress')),
        [],
      );
      const again = emulator
        .requests('GetSnapshotBlock')
        .filter((request) => request.snapshotId === snapshotId)
        .map(({ blockIndex }) => blockIndex);
      assert.ok(result.bytesResumed > 0, 'something was safe');
      assert.ok(!again.includes(101), 'what was safe is not fetched again');
    },
  );

  test(`with force a full download overwrites a ${kind} between two states`, needs, async (t) => {
    const { emulator, service, base, snapshotId, baseBlocks } = await makePair(t);
    const { target, medium } = await targetOf(t, kind);
    writeImage(medium, baseBlocks);
    const controller = new AbortController();
    void emulator
      .waitForRequest((request) => request.snapshotId === snapshotId && request.blockIndex === 101)
      .then(() => controller.abort());
    const options = { snapshotId, target, workers: 1, ...service };
    await assert.rejects(downloadSnapshot({ ...options, since: base, signal: controller.signal }), {
      class: 'aborted',
    });
    const { events, onEvent } = recorder();
    await downloadSnapshot({ ...options, snapshotId: base, force: true, onEvent });
    assert.equal(await firstWrongBlock(medium, baseBlocks, GIB), undefined);
    const warned = events.filter((event) => event.type === 'warning' && event.code === 'OVERWRITING');
    assert.ok(warned.length <= 1, 'what is overwritten is said once');
  });

  test(`the order of time does not matter: a ${kind} is rolled back`, needs, async (t) => {
    const { service, base, snapshotId, baseBlocks, blocks } = await makePair(t);
    const { target, medium } = await targetOf(t, kind);
    writeImage(medium, blocks);
    await downloadSnapshot({ since: snapshotId, snapshotId: base, target, verify: true, ...service });
    assert.equal(await firstWrongBlock(medium, baseBlocks, GIB), undefined);
  });
}

for (const [kind, changes] of [
  ['file', [5, 700]],
  ['device', [5, 700]],
  // Its ends are read though they have not changed.
  ['device', []],
] as const)
  test(
    `a ${kind} is not touched when ${changes.length} changed blocks may be listed but not read`,
    needsLoop,
    async (t) => {
      const { emulator, service } = await startService(t);
      const baseBlocks = randomBlocks([1, 5, 100, LAST]);
      const base = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: baseBlocks });
      const changed = randomBlocks([...changes]);
      const snapshotId = await emulator.putSnapshot({
        volumeSizeGiB: 1,
        blocks: changed,
        parent: base,
        gone: [100],
      });
      const { target, medium, scratch } = await targetOf(t, kind);
      writeImage(medium, baseBlocks);
      const before = stateOf(scratch.directory);
      const action = { type: 'error', status: 403, code: 'AccessDeniedException' } as const;
      emulator.setFaults([{ operation: 'GetSnapshotBlock', action }]);
      const options = { since: base, snapshotId, target, trustBase: true, ...service };
      await assert.rejects(downloadSnapshot(options), { class: 'config', code: 'ACCESS_DENIED' });
      assert.equal(emulator.requests('GetSnapshotBlock').length, 1);
      assert.deepEqual(stateOf(scratch.directory), before);
      emulator.setFaults([]);
      emulator.clearLog();
      await downloadSnapshot(options);
      const expected = new Map([...baseBlocks, ...changed]);
      expected.delete(100);
      assert.equal(await firstWrongBlock(medium, expected, GIB), undefined);
      const fetched = emulator.requests('GetSnapshotBlock').map(({ blockIndex }) => blockIndex);
      assert.equal(new Set(fetched).size, fetched.length, 'no block is fetched twice');
    },
  );

test('the base is not compared when it is trusted, and wholly when asked to', async (t) => {
  const { emulator, service, base, snapshotId, baseBlocks, blocks } = await makePair(t);
  const { target } = await targetOf(t, 'file');
  const options = { since: base, snapshotId, target, ...service };
  writeImage(target, baseBlocks);
  await downloadSnapshot({ ...options, trustBase: true });
  assert.equal(await firstWrongBlock(target, blocks, GIB), undefined);
  assert.ok(emulator.requests('GetSnapshotBlock').every((request) => request.snapshotId === snapshotId));
  rmSync(target);
  // One bit, in one block of two thousand.
  const damaged = Buffer.from(baseBlocks.get(500) as Buffer);
  damaged[77]! ^= 1;
  writeImage(target, new Map([...baseBlocks, [500, damaged]]));
  await assert.rejects(downloadSnapshot({ ...options, verifyBase: true }), {
    code: 'BASE_DIFFERS',
    message: new RegExp(`bytes ${500 * BLOCK}-${501 * BLOCK} differ`),
  });
  emulator.clearLog();
  writeImage(target, baseBlocks);
  await downloadSnapshot({ ...options, verifyBase: true });
  assert.equal(await firstWrongBlock(target, blocks, GIB), undefined);
  const ofBase = emulator.requests('GetSnapshotBlock').filter((request) => request.snapshotId === base);
  assert.equal(ofBase.length, baseBlocks.size);
});

test('a base that is the snapshot is compared, and nothing is changed', async (t) => {
  const { emulator, service, base, baseBlocks } = await makePair(t);
  const { target } = await targetOf(t, 'file');
  writeImage(target, baseBlocks);
  const before = statSync(target, { bigint: true });
  const options = { since: base, snapshotId: base, target, ...service };
  const trusted = await downloadSnapshot({ ...options, trustBase: true });
  assert.equal(emulator.requests('GetSnapshotBlock').length, 0);
  const compared = await downloadSnapshot(options);
  const fetched = emulator.requests('GetSnapshotBlock').length;
  assert.ok(fetched > 0 && fetched <= PROOF);
  for (const result of [trusted, compared])
    assert.deepEqual([result.bytesTransferred, result.bytesDone], [0, GIB]);
  assert.equal(statSync(target, { bigint: true }).mtimeNs, before.mtimeNs);
  writeImage(target, randomBlocks([5]));
  await assert.rejects(downloadSnapshot(options), { class: 'integrity', code: 'BASE_DIFFERS' });
});

test('a missing target, a stream, and a file of another size or with a second name are refused', async (t) => {
  const { emulator, service, base, snapshotId } = await makePair(t);
  const { target } = await targetOf(t, 'file');
  const options = { since: base, snapshotId, target, ...service };
  const refused = { class: 'refused', code: 'TARGET_HOLDS_NO_BASE' };
  await assert.rejects(downloadSnapshot(options), refused);
  await assert.rejects(downloadSnapshot({ ...options, target: '-' }), refused);
  assert.deepEqual(emulator.log, []);
  writeFileSync(target, 'short');
  await assert.rejects(downloadSnapshot(options), { ...refused, message: /has 5 bytes and not 1073741824/ });
  linkSync(target, `${target}.link`);
  await assert.rejects(downloadSnapshot(options), { class: 'refused', code: 'TARGET_IN_USE' });
  assert.equal(readFileSync(target, 'utf8'), 'short');
  assert.equal(emulator.requests('GetSnapshotBlock').length, 0);
});

test('unrelated snapshots are an error of the service, and the target is not touched', async (t) => {
  const { emulator, service, base, baseBlocks } = await makePair(t);
  const other = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: randomBlocks([1]) });
  const { target } = await targetOf(t, 'file');
  writeImage(target, baseBlocks);
  await assert.rejects(downloadSnapshot({ since: base, snapshotId: other, target, ...service }), {
    class: 'permanent',
    code: 'UNRELATED_SNAPSHOTS',
  });
  assert.equal(await firstWrongBlock(target, baseBlocks, GIB), undefined);
});

test('options that contradict each other are an error before any request', async (t) => {
  const { emulator, service, base, snapshotId } = await makePair(t);
  const options: DownloadOptions = { since: base, snapshotId, target: 'none.img', ...service };
  const usage = { class: 'usage' };
  await assert.rejects(downloadSnapshot({ ...options, since: 'vol-1' }), usage);
  await assert.rejects(downloadSnapshot({ ...options, checkpoint: false }), usage);
  await assert.rejects(downloadSnapshot({ ...options, trustBase: true, verifyBase: true }), usage);
  assert.deepEqual(emulator.log, []);
});

test('without a journal nothing is touched', async (t) => {
  const { service, base, snapshotId, baseBlocks } = await makePair(t);
  const { target } = await targetOf(t, 'file');
  writeImage(target, baseBlocks);
  const checkpointFile = join(target, 'journal');
  await assert.rejects(downloadSnapshot({ since: base, snapshotId, target, checkpointFile, ...service }), {
    class: 'local',
    code: 'JOURNAL_REQUIRED',
  });
  assert.equal(await firstWrongBlock(target, baseBlocks, GIB), undefined);
});

test('a file that has taken the place of the partial file is refused, and not changed', async (t) => {
  const { emulator, service, base, snapshotId, baseBlocks } = await makePair(t);
  const { target, between } = await targetOf(t, 'file');
  writeImage(target, baseBlocks);
  const options = { since: base, snapshotId, target, trustBase: true, workers: 1, ...service };
  for (const checkpointIntervalMs of [1, 60_000]) {
    const controller = new AbortController();
    const isLate = ({ blockIndex, operation }: { blockIndex?: number; operation: string }) =>
      operation === 'GetSnapshotBlock' && blockIndex === 700;
    emulator.clearLog();
    void emulator.waitForRequest(isLate).then(() => controller.abort());
    const { signal } = controller;
    await assert.rejects(downloadSnapshot({ ...options, checkpointIntervalMs, signal }), {
      class: 'aborted',
    });
    renameSync(between, `${between}.mine`);
    writeImage(between, new Map());
    const before = statSync(between, { bigint: true });
    await assert.rejects(downloadSnapshot(options), { class: 'refused', code: 'PARTIAL_FOREIGN' });
    const after = statSync(between, { bigint: true });
    assert.deepEqual([after.size, after.mtimeNs], [before.size, before.mtimeNs]);
    renameSync(`${between}.mine`, between);
  }
  await downloadSnapshot(options);
});

for (const [what, baseGib, gib] of [
  ['the volume of the snapshot', 1, 2],
  ['the volume of the base', 2, 1],
] as const) {
  test(`a device that is smaller than ${what} is refused, and not changed`, needsLoop, async (t) => {
    const { emulator, service } = await startService(t);
    const blocks = randomBlocks([0, 1]);
    const since = await emulator.putSnapshot({ volumeSizeGiB: baseGib, blocks });
    const snapshotId = await emulator.putSnapshot({
      volumeSizeGiB: gib,
      blocks: randomBlocks([1]),
      parent: since,
    });
    const space = await Scratch.for(t);
    process.env.STATE_DIRECTORY = space.directory;
    const { device, backing } = await space.loop({ bytes: GIB });
    writeImage(backing, blocks);
    const before = statSync(backing, { bigint: true });
    await assert.rejects(downloadSnapshot({ since, snapshotId, target: device, ...service }), {
      class: 'refused',
      code: 'TARGET_TOO_SMALL',
    });
    const { mtimeNs, blocks: allocated } = statSync(backing, { bigint: true });
    assert.deepEqual([mtimeNs, allocated], [before.mtimeNs, before.blocks]);
    assert.deepEqual(emulator.requests('GetSnapshotBlock'), []);
  });
}

/** Downloads until one changed block is missing. */
async function interrupt({ emulator, snapshotId }: Pair, options: DownloadOptions): Promise<void> {
  const controller = new AbortController();
  void emulator
    .waitForRequest((request) => request.snapshotId === snapshotId && request.blockIndex === 701)
    .then(() => controller.abort());
  const { signal } = controller;
  await assert.rejects(downloadSnapshot({ ...options, workers: 1, checkpointIntervalMs: 1, signal }), {
    class: 'aborted',
  });
}

const otherNames = {
  'a relative path': (target: string) => relative(process.cwd(), target),
  'a symbolic link': (target: string) => {
    symlinkSync('disk.img', `${target}.link`);
    return `${target}.link`;
  },
  'a linked directory': (target: string) => {
    symlinkSync('.', join(dirname(target), 'linked'));
    return join(dirname(target), 'linked', 'disk.img');
  },
};

for (const [title, nameOf] of Object.entries(otherNames)) {
  test(`the same call finishes an interrupted run whose file is named by ${title}`, async (t) => {
    const pair = await makePair(t);
    const { service, base, snapshotId, baseBlocks, blocks } = pair;
    const { target: file } = await targetOf(t, 'file');
    writeImage(file, baseBlocks);
    const options = { since: base, snapshotId, target: nameOf(file), ...service };
    await interrupt(pair, options);
    assert.ok(!existsSync(file) && existsSync(`${file}.partial`));
    const { bytesResumed } = await downloadSnapshot(options);
    assert.ok(bytesResumed > 0, 'something was safe');
    assert.equal(await firstWrongBlock(file, blocks, GIB), undefined);
    assert.ok(!existsSync(`${file}.partial`));
  });
}

test('a file between two states whose journal was lost is refused as such, until it is overwritten', async (t) => {
  const pair = await makePair(t);
  const { emulator, service, base, snapshotId, baseBlocks, blocks } = pair;
  const { target, between, scratch } = await targetOf(t, 'file');
  writeImage(target, baseBlocks);
  const options = { since: base, snapshotId, target, ...service };
  await interrupt(pair, options);
  rmSync(`${target}.coldsnap-progress`);
  const before = stateOf(scratch.directory);
  const { since: _since, ...full } = options;
  const refused = {
    code: 'TARGET_BETWEEN',
    message: `${target} is between two states: ${between} is of an interrupted incremental download`,
    hint: /if its journal is still there, or overwrite it by a full download/,
  };
  emulator.clearLog();
  for (const download of [options, full]) {
    await assert.rejects(downloadSnapshot(download), refused);
    await assert.rejects(estimateDownload(download), refused);
  }
  assert.equal(emulator.requests('GetSnapshotBlock').length, 0);
  assert.deepEqual(stateOf(scratch.directory), before);
  await downloadSnapshot({ ...full, force: true });
  assert.equal(await firstWrongBlock(target, blocks, GIB), undefined);
});

test('a partial file that somebody gave the name of the target is not taken for the base', async (t) => {
  const pair = await makePair(t);
  const { emulator, service, base, snapshotId, baseBlocks } = pair;
  const { target, between } = await targetOf(t, 'file');
  const next = await emulator.putSnapshot({
    volumeSizeGiB: 1,
    blocks: randomBlocks([5]),
    parent: snapshotId,
  });
  writeImage(target, baseBlocks);
  const options = { since: base, snapshotId, target, ...service };
  await interrupt(pair, options);
  rmSync(`${target}.coldsnap-progress`);
  renameSync(between, target);
  const before = statSync(target, { bigint: true }).ctimeNs;
  // It differs from the base in blocks 701 and 900, which a sample is not likely to have.
  await assert.rejects(downloadSnapshot({ ...options, since: snapshotId, snapshotId: next }), {
    code: 'BASE_DIFFERS',
  });
  assert.equal(statSync(target, { bigint: true }).ctimeNs, before);
});

for (const [title, names] of [
  ['the file is between two states', (partial: string) => [partial]],
  ['the file still has both names', (partial: string) => [partial, partial.replace(/\.partial$/, '')]],
] as const) {
  test(`a dry run after an interruption says what is resumed, when ${title}`, async (t) => {
    const pair = await makePair(t);
    const { service, base, snapshotId, baseBlocks, blocks } = pair;
    const { target, between, scratch } = await targetOf(t, 'file');
    writeImage(target, baseBlocks);
    const options = { since: base, snapshotId, target, ...service };
    await interrupt(pair, options);
    for (const name of names(between)) if (!existsSync(name)) linkSync(between, name);
    const before = stateOf(scratch.directory);
    const plan = await estimateDownload(options);
    assert.deepEqual(stateOf(scratch.directory), before);
    const result = await downloadSnapshot(options);
    assert.ok(plan.bytesResumed > 0);
    assert.deepEqual([plan.bytesResumed, plan.blocks], [result.bytesResumed, result.blocksTransferred]);
    assert.equal(await firstWrongBlock(target, blocks, GIB), undefined);
  });
}

for (const how of ['full', 'incremental'] as const)
  test(`${how === 'full' ? 'a full' : 'an incremental'} download whose snapshot disappears says that it may not be finished any more`, async (t) => {
    const { emulator, service, base, snapshotId, baseBlocks, blocks } = await makePair(t);
    const { target } = await targetOf(t, 'file');
    writeImage(target, baseBlocks);
    const action = { type: 'error', status: 404, code: 'ResourceNotFoundException' } as const;
    emulator.setFaults([{ operation: 'GetSnapshotBlock', block: 700, action }]);
    const { events, onEvent } = recorder();
    const options = { snapshotId, target, workers: 1, ...service, onEvent };
    const download = () =>
      downloadSnapshot({ ...options, ...(how === 'full' ? { force: true } : { since: base }) });
    await assert.rejects(download(), { code: 'SNAPSHOT_NOT_FOUND' });
    const warned = events.flatMap((event) => (event.type === 'warning' ? [event] : [])).at(-1);
    assert.equal(warned?.code, 'DOWNLOAD_UNFINISHED');
    assert.match(
      warned.message,
      / If the snapshot was deleted, it cannot be finished: overwrite it by a full download of another\.$/,
    );
    emulator.setFaults([]);
    await download();
    assert.equal(await firstWrongBlock(target, blocks, GIB), undefined);
  });

for (const [running, second] of [
  ['a full download', 'since'],
  ['an incremental download', 'since'],
  ['an incremental download', 'full'],
] as const)
  for (const dryRun of [false, true])
    test(`while ${running} is writing a file, ${dryRun ? 'a dry run of ' : ''}another ${second === 'full' ? 'full' : 'incremental'} one says so`, async (t) => {
      const pair = await makePair(t);
      const { emulator, service, base, snapshotId, baseBlocks, blocks } = pair;
      const { target } = await targetOf(t, 'file');
      writeImage(target, baseBlocks);
      const since = { since: base, trustBase: true };
      const full = { force: true };
      const options = { target, workers: 1, ...service };
      const stalled: FaultRule = {
        operation: 'GetSnapshotBlock',
        block: 701,
        first: 1,
        action: { type: 'delay', ms: 5_000 },
      };
      emulator.setFaults([stalled]);
      const reached = emulator.waitForRequest(({ blockIndex }) => blockIndex === 701);
      const first = downloadSnapshot({
        ...options,
        snapshotId,
        ...(running === 'a full download' ? full : since),
      });
      await reached;
      const other = { ...options, snapshotId: base, ...(second === 'full' ? {} : { since: snapshotId }) };
      await assert.rejects(dryRun ? estimateDownload(other) : downloadSnapshot(other), {
        class: 'refused',
        code: 'TARGET_BUSY',
        message: `another run is writing ${target} (it holds a lock on ${target}.partial)`,
      });
      await first;
      assert.equal(await firstWrongBlock(target, blocks, GIB), undefined);
    });

test('after an interrupted full download that was to replace a file, one since a base names it', async (t) => {
  const { emulator, service, base, snapshotId, baseBlocks } = await makePair(t);
  const { target } = await targetOf(t, 'file');
  writeImage(target, baseBlocks);
  const options = { snapshotId, target, workers: 1, ...service };
  const controller = new AbortController();
  void emulator.waitForRequest(({ blockIndex }) => blockIndex === 700).then(() => controller.abort());
  await assert.rejects(downloadSnapshot({ ...options, force: true, signal: controller.signal }), {
    class: 'aborted',
  });
  await assert.rejects(downloadSnapshot({ ...options, since: base }), {
    class: 'refused',
    code: 'TARGET_BETWEEN',
    message: `a full download of ${snapshotId} to ${target} was interrupted`,
  });
  assert.equal(await firstWrongBlock(target, baseBlocks, GIB), undefined);
});

for (const [operation, nth, contents] of [
  ['ListChangedBlocks', undefined, 'other-blocks'],
  ['ListChangedBlocks', undefined, 'other-volume'],
  // The first shows that they are related, the second gives the block to read first.
  ['ListChangedBlocks', 2, 'other-blocks'],
  ['ListChangedBlocks', 2, 'other-volume'],
  ['ListChangedBlocks', 3, 'other-blocks'],
  ['ListChangedBlocks', 3, 'other-volume'],
  // The first two give the sizes, the third is that of the proof.
  ['ListSnapshotBlocks', 2, 'other-blocks'],
  ['ListSnapshotBlocks', 3, 'other-blocks'],
  ['ListSnapshotBlocks', 3, 'other-volume'],
] as const)
  test(`${nth === undefined ? 'every' : `call ${nth} of`} ${operation} with ${contents} fails the download before it is used`, async (t) => {
    const { emulator, service, base, snapshotId, baseBlocks, blocks } = await makePair(t);
    const { target, medium } = await targetOf(t, 'file');
    writeImage(medium, baseBlocks);
    const rule: FaultRule = { operation, action: { type: 'list', contents } };
    emulator.setFaults([nth === undefined ? rule : { ...rule, nth }]);
    await assert.rejects(downloadSnapshot({ since: base, snapshotId, target, ...service }), {
      class: 'permanent',
      code: 'BAD_LIST',
    });
    emulator.setFaults([]);
    await downloadSnapshot({ since: base, snapshotId, target, ...service });
    assert.equal(await firstWrongBlock(medium, blocks, GIB), undefined);
  });
