import assert from 'node:assert/strict';
import {
  closeSync,
  existsSync,
  linkSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Emulator } from '../../src/emulator/index.ts';
import {
  type ColdsnapError,
  type DownloadToTargetsOptions,
  downloadSnapshot,
  downloadToTargets,
  type TransferEvent,
} from '../../src/index.ts';
import { ReadBackProgress } from '../../src/transfer/run/read-back.ts';
import { Run } from '../../src/transfer/run/run.ts';
import { journalledBlocks } from '../faults/command.ts';
import '../support/in-memory.ts';
import { run as execute, needsLoop, Scratch } from '../support/loop.ts';
import {
  BLOCK,
  bytesAt,
  firstWrongBlock,
  GIB,
  randomBlocks,
  recorder,
  startService,
} from '../support/service.ts';
import { until } from '../support/until.ts';

const LAST = GIB / BLOCK - 1;
const indexes = [0, 1, 5, 100, 101, 500, 900, LAST];

interface Scene {
  readonly scratch: Scratch;
  readonly emulator: Emulator;
  readonly blocks: Map<number, Buffer>;
  readonly options: Omit<DownloadToTargetsOptions, 'targets'>;
}

async function scene(t: TestContext): Promise<Scene> {
  const scratch = await Scratch.for(t);
  process.env.STATE_DIRECTORY = scratch.directory;
  const { emulator, service } = await startService(t, { pageSize: 3 });
  const blocks = randomBlocks(indexes, [7]);
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
  return { scratch, emulator, blocks, options: { snapshotId, ...service } };
}

const requested = (emulator: Emulator): number[] =>
  emulator.requests('GetSnapshotBlock').map(({ blockIndex }) => blockIndex as number);

const ascending = (numbers: Iterable<number>) => [...numbers].sort((a, b) => a - b);

/** Interrupts a download when a block is requested, by one worker, with a journal of all blocks before. */
async function interrupt(
  emulator: Emulator,
  block: number,
  download: (options: {
    signal: AbortSignal;
    workers: number;
    checkpointIntervalMs: number;
  }) => Promise<unknown>,
): Promise<void> {
  const controller = new AbortController();
  emulator.clearLog();
  void emulator.waitForRequest(({ blockIndex }) => blockIndex === block).then(() => controller.abort());
  const options = { signal: controller.signal, workers: 1, checkpointIntervalMs: 1 };
  await assert.rejects(download(options), { class: 'aborted' });
}

const journals = ({ scratch }: Scene) =>
  readdirSync(scratch.directory).filter((name) => name.endsWith('.coldsnap-progress'));

test(
  'several files and devices become the snapshot with one list and one request a block',
  needsLoop,
  async (t) => {
    const { scratch, emulator, blocks, options } = await scene(t);
    const one = await scratch.loop({ bytes: GIB });
    const larger = await scratch.loop({ bytes: 2 * GIB, sectorSize: 4_096 });
    const targets = [scratch.path('a.img'), one.device, larger.device, scratch.path('b.img')];
    const { events, onEvent } = recorder();
    const result = await downloadToTargets({ ...options, targets, onEvent });
    for (const image of [targets[0]!, one.backing, targets[3]!])
      assert.equal(await firstWrongBlock(image, blocks, GIB), undefined);
    assert.equal(await firstWrongBlock(larger.backing, blocks, 2 * GIB), undefined);
    assert.deepEqual(ascending(requested(emulator)), ascending(blocks.keys()));
    assert.equal(emulator.requests('ListSnapshotBlocks').length, 3);
    assert.deepEqual(
      result.targets,
      targets.map((path) => ({ path, ok: true })),
    );
    assert.deepEqual([result.volumeSize, result.blockSize, result.bytesDone], [GIB, BLOCK, GIB]);
    assert.equal(result.bytesTransferred, blocks.size * BLOCK);
    const start = events.find(({ type }) => type === 'start');
    assert.deepEqual(start?.type === 'start' && start.targets, targets);
    assert.equal(events.filter(({ type }) => type === 'done').length, 1);
    assert.deepEqual(
      readdirSync(scratch.directory).filter((name) => name.includes('coldsnap')),
      [],
    );
  },
);

test(
  'an interrupted download leaves every target resumable, and resumes with what any lacks',
  needsLoop,
  async (t) => {
    const place = await scene(t);
    const { scratch, emulator, blocks, options } = place;
    const { device, backing } = await scratch.loop({ bytes: GIB });
    const file = scratch.path('disk.img');
    const targets = [file, device];
    await interrupt(emulator, 900, (interruption) =>
      downloadToTargets({ ...options, ...interruption, targets }),
    );
    assert.ok(!existsSync(file) && existsSync(`${file}.partial`));
    assert.ok(bytesAt(backing, 0, BLOCK).every((byte) => byte === 0));
    assert.equal(journals(place).length, 2);
    const safe = journals(place).map((name) => journalledBlocks(scratch.path(name)));
    emulator.clearLog();
    const result = await downloadToTargets({ ...options, targets });
    assert.equal(await firstWrongBlock(file, blocks, GIB), undefined);
    assert.equal(await firstWrongBlock(backing, blocks, GIB), undefined);
    const lacking = [...blocks.keys()].filter((block) => !safe.every((done) => done.has(block)));
    assert.ok(lacking.length < blocks.size && result.bytesResumed > 0);
    assert.deepEqual(ascending(requested(emulator)), lacking);
    assert.equal(result.bytesDone, GIB);
    assert.deepEqual(journals(place), []);
  },
);

test('an interrupted download may be finished for each target alone, and single ones together', async (t) => {
  const { scratch, emulator, blocks, options } = await scene(t);
  const [one, other] = [scratch.path('one.img'), scratch.path('other.img')];
  await interrupt(emulator, 100, (interruption) =>
    downloadSnapshot({ ...options, ...interruption, target: one }),
  );
  await interrupt(emulator, 900, (interruption) =>
    downloadSnapshot({ ...options, ...interruption, target: other }),
  );
  const done = [one, other].map((path) => journalledBlocks(`${path}.coldsnap-progress`));
  await interrupt(emulator, 900, (interruption) =>
    downloadToTargets({ ...options, ...interruption, targets: [one, other] }),
  );
  assert.ok(requested(emulator).every((block) => !done.every((blocks) => blocks.has(block))));
  const target = one;
  const safe = journalledBlocks(`${target}.coldsnap-progress`);
  emulator.clearLog();
  await downloadSnapshot({ ...options, target });
  assert.deepEqual(
    ascending(requested(emulator)),
    [...blocks.keys()].filter((block) => !safe.has(block)),
  );
  await downloadSnapshot({ ...options, target: other });
  for (const path of [one, other]) assert.equal(await firstWrongBlock(path, blocks, GIB), undefined);
});

test('a target that an earlier run had finished, but for its journal, is whole and not written again', async (t) => {
  const { scratch, emulator, blocks, options } = await scene(t);
  const [one, other] = [scratch.path('one.img'), scratch.path('other.img')];
  await downloadSnapshot({ ...options, target: one, keepCheckpoint: true });
  const before = statSync(one, { bigint: true });
  emulator.clearLog();
  const refused = downloadToTargets({ ...options, targets: [one, scratch.path('none/other.img')] });
  await assert.rejects(refused, { code: 'TARGET_PARENT_MISSING' });
  const both = { ...options, targets: [one, other] };
  const { targets } = await downloadToTargets({ ...both, keepCheckpoint: true });
  assert.deepEqual(
    targets.map(({ ok }) => ok),
    [true, true],
  );
  assert.equal(requested(emulator).length, blocks.size);
  emulator.clearLog();
  const { bytesResumed, bytesTransferred } = await downloadToTargets(both);
  assert.deepEqual([bytesResumed, bytesTransferred, emulator.log.length], [GIB, 0, 0]);
  assert.deepEqual(ascending(readdirSync(scratch.directory).map((name) => name.length)), [7, 9]);
  const after = statSync(one, { bigint: true });
  assert.deepEqual([after.mtimeNs, after.ino], [before.mtimeNs, before.ino]);
  for (const path of [one, other]) assert.equal(await firstWrongBlock(path, blocks, GIB), undefined);
});

test(
  'a target that fails is dropped with a warning, the others become whole, and it resumes alone',
  needsLoop,
  async (t) => {
    const { scratch, emulator, blocks, options } = await scene(t);
    const directory = await scratch.tmpfs(3 * 2 ** 20);
    const small = join(directory, 'small.img');
    const file = scratch.path('disk.img');
    const { events, onEvent } = recorder();
    const slowly = { ...options, workers: 1, checkpointIntervalMs: 1 };
    // The file system is full only when the journal on it lists blocks.
    const throttle = { type: 'error', status: 400, code: 'RequestThrottledException' } as const;
    const block = [...blocks.keys()].slice(4);
    emulator.setFaults([{ operation: 'GetSnapshotBlock', block, action: throttle }]);
    const downloading = downloadToTargets({ ...slowly, targets: [file, small], onEvent });
    const journal = `${small}.coldsnap-progress`;
    await until(() => journalledBlocks(journal).has(0), downloading);
    emulator.setFaults([]);
    const result = await downloading;
    assert.equal(await firstWrongBlock(file, blocks, GIB), undefined);
    assert.deepEqual(
      result.targets.map(({ path, ok, error }) => [path, ok, error?.class, error?.code]),
      [
        [file, true, undefined, undefined],
        [small, false, 'local', 'ENOSPC'],
      ],
    );
    const sent = emulator.requests('GetSnapshotBlock').filter(({ fault }) => fault === undefined);
    assert.equal(sent.length, blocks.size);
    assert.ok(!existsSync(small));
    const warnings = events.flatMap((event) => (event.type === 'warning' ? [event] : []));
    assert.match(
      warnings[0]!.message,
      /small\.img failed and .*no space left.*continues to 1 of the targets/,
    );
    assert.deepEqual([warnings[0]!.code, warnings.at(-1)!.code], ['TARGET_DROPPED', 'DOWNLOAD_UNFINISHED']);
    assert.ok(!events.some(({ type }) => type === 'done'));
    const safe = journalledBlocks(journal);
    assert.ok(safe.has(0));
    await execute('mount', '-o', 'remount,size=16m', directory);
    emulator.clearLog();
    await downloadSnapshot({ ...options, target: small });
    assert.equal(await firstWrongBlock(small, blocks, GIB), undefined);
    assert.deepEqual(
      ascending(requested(emulator)),
      [...blocks.keys()].filter((block) => !safe.has(block)),
    );
  },
);

test('the work of an earlier run on one target is kept when another is refused', needsLoop, async (t) => {
  const place = await scene(t);
  const { scratch, emulator, blocks, options } = place;
  const file = scratch.path('disk.img');
  await interrupt(emulator, 900, (interruption) =>
    downloadSnapshot({ ...options, ...interruption, target: file }),
  );
  const { device: small } = await scratch.loop({ bytes: GIB / 2 });
  const targets = [file, small];
  await assert.rejects(downloadToTargets({ ...options, targets }), { code: 'TARGET_TOO_SMALL' });
  emulator.clearLog();
  await downloadSnapshot({ ...options, target: file });
  assert.deepEqual(ascending(requested(emulator)), [900, LAST]);
  assert.equal(await firstWrongBlock(file, blocks, GIB), undefined);
});

test('when every target fails, the download fails with the error of the first', needsLoop, async (t) => {
  const { scratch, options } = await scene(t);
  const targets = [
    join(await scratch.tmpfs(4 * 2 ** 20), 'larger.img'),
    join(await scratch.tmpfs(2 * 2 ** 20), 'smaller.img'),
  ];
  await assert.rejects(downloadToTargets({ ...options, targets, workers: 1 }), (error: ColdsnapError) => {
    assert.deepEqual([error.class, error.code, error.path], ['local', 'ENOSPC', targets[0]]);
    assert.deepEqual(
      error.targets?.map(({ path, error: { code, path: own } }) => [path, code, own]),
      targets.map((path) => [path, 'ENOSPC', path]),
    );
    return true;
  });
});

test('when the service fails after a target has, the error has the reason of each', needsLoop, async (t) => {
  const { scratch, emulator, options } = await scene(t);
  const targets = [scratch.path('disk.img'), join(await scratch.tmpfs(2 * 2 ** 20), 'small.img')];
  const action = { type: 'error', status: 403, code: 'AccessDeniedException' } as const;
  emulator.setFaults([{ operation: 'GetSnapshotBlock', block: LAST, action }]);
  await assert.rejects(downloadToTargets({ ...options, targets, workers: 1 }), (error: ColdsnapError) => {
    assert.deepEqual(
      [error, ...(error.targets ?? []).map((target) => target.error)].map(({ code }) => code),
      ['ACCESS_DENIED', 'ACCESS_DENIED', 'ENOSPC'],
    );
    return true;
  });
});

test('a target whose commit fails does not keep the others from being committed', async (t) => {
  const { scratch, emulator, blocks, options } = await scene(t);
  const [taken, file] = [scratch.path('taken.img'), scratch.path('disk.img')];
  void emulator
    .waitForRequest(({ blockIndex }) => blockIndex === LAST)
    .then(() => writeFileSync(taken, 'of another program'));
  const { targets } = await downloadToTargets({ ...options, targets: [taken, file] });
  assert.deepEqual(
    targets.map(({ ok, error }) => [ok, error?.code]),
    [
      [false, 'TARGET_EXISTS'],
      [true, undefined],
    ],
  );
  assert.equal(readFileSync(taken, 'utf8'), 'of another program');
  assert.equal(await firstWrongBlock(file, blocks, GIB), undefined);
});

test('after a kill between two commits the same call finishes the other target', async (t) => {
  const { scratch, emulator, blocks, options } = await scene(t);
  const targets = [scratch.path('one.img'), scratch.path('other.img')];
  const [one, other] = targets as [string, string];
  // As such a kill leaves it: one is whole and has its journal, the other lacks the last block.
  await downloadSnapshot({ ...options, target: one, keepCheckpoint: true });
  await interrupt(emulator, LAST, (interruption) =>
    downloadSnapshot({ ...options, ...interruption, target: other }),
  );
  emulator.clearLog();
  const result = await downloadToTargets({ ...options, targets });
  assert.deepEqual(
    result.targets.map(({ ok }) => ok),
    [true, true],
  );
  assert.deepEqual(requested(emulator), [LAST]);
  for (const path of targets) assert.equal(await firstWrongBlock(path, blocks, GIB), undefined);
  assert.ok(!targets.some((path) => existsSync(`${path}.coldsnap-progress`)));
});

test('a failure of the service fails all targets, which stay resumable', async (t) => {
  const place = await scene(t);
  const { scratch, emulator, blocks, options } = place;
  const targets = [scratch.path('a.img'), scratch.path('b.img')];
  const action = { type: 'error', status: 403, code: 'AccessDeniedException' } as const;
  emulator.setFaults([{ operation: 'GetSnapshotBlock', block: 900, action }]);
  const { events, onEvent } = recorder();
  const failing = { ...options, targets, workers: 1, checkpointIntervalMs: 1, onEvent };
  await assert.rejects(downloadToTargets(failing), { class: 'config', code: 'ACCESS_DENIED' });
  const codes = events.flatMap((event) => (event.type === 'warning' ? [event.code] : []));
  assert.deepEqual(codes, ['DOWNLOAD_UNFINISHED', 'DOWNLOAD_UNFINISHED']);
  assert.equal(journals(place).length, 2);
  emulator.setFaults([]);
  emulator.clearLog();
  await downloadToTargets({ ...options, targets });
  assert.deepEqual(ascending(requested(emulator)), [900, LAST]);
  for (const path of targets) assert.equal(await firstWrongBlock(path, blocks, GIB), undefined);
});

test('data with a wrong checksum are written to no target, and fetched again', async (t) => {
  const { scratch, emulator, blocks, options } = await scene(t);
  emulator.setFaults([{ operation: 'GetSnapshotBlock', block: 5, first: 1, action: { type: 'flip-bit' } }]);
  const targets = [scratch.path('a.img'), scratch.path('b.img')];
  await downloadToTargets({ ...options, targets });
  for (const path of targets) assert.equal(await firstWrongBlock(path, blocks, GIB), undefined);
  assert.equal(requested(emulator).filter((block) => block === 5).length, 2);
});

test('when one target is refused, none is touched and all are released', needsLoop, async (t) => {
  const { scratch, emulator, options } = await scene(t);
  const blank = await scratch.loop({ bytes: GIB });
  const small = await scratch.loop({ bytes: 2 ** 20 });
  const existing = scratch.path('existing.img');
  writeFileSync(existing, 'mine');
  const fresh = scratch.path('new.img');
  const state = () =>
    readdirSync(scratch.directory).map((name) => {
      const { mtimeNs, blocks } = statSync(scratch.path(name), { bigint: true });
      return [name, mtimeNs, blocks];
    });
  const before = state();
  const rows: [targets: string[], code: string][] = [
    [[fresh, blank.device, existing], 'TARGET_EXISTS'],
    [[fresh, blank.device, small.device], 'TARGET_TOO_SMALL'],
    // The first refusal in the order given.
    [[fresh, existing, scratch.path('none/x.img')], 'TARGET_EXISTS'],
    [[fresh, scratch.path('none/x.img'), existing], 'TARGET_PARENT_MISSING'],
  ];
  for (const [targets, code] of rows) {
    await assert.rejects(downloadToTargets({ ...options, targets }), { code });
    assert.deepEqual(state(), before);
  }
  assert.deepEqual(requested(emulator), []);
  await downloadToTargets({ ...options, targets: [fresh, blank.device] });
});

test('options for one target are refused before any request', async (t) => {
  const { scratch, emulator, options } = await scene(t);
  const target = scratch.path('disk.img');
  writeFileSync(target, 'base');
  linkSync(target, scratch.path('link.img'));
  const rows: [DownloadToTargetsOptions & { since?: string; checkpointFile?: string }, object][] = [
    [
      { ...options, targets: [] },
      { class: 'usage', code: 'MISSING_ARGUMENT' },
    ],
    [
      { ...options, targets: [target], since: 'snap-0a' },
      { class: 'refused', code: 'SEVERAL_TARGETS' },
    ],
    [
      { ...options, targets: [target], checkpointFile: 'j' },
      { class: 'usage', code: 'SEVERAL_TARGETS' },
    ],
    [
      { ...options, targets: ['-', target] },
      { class: 'usage', code: 'SEVERAL_TARGETS' },
    ],
    [
      { ...options, targets: [target, scratch.path('link.img')] },
      { class: 'usage', code: 'SAME_TARGET' },
    ],
  ];
  for (const [row, error] of rows) await assert.rejects(downloadToTargets(row), error);
  assert.deepEqual(emulator.log, []);
  assert.equal(readFileSync(target, 'utf8'), 'base');
});

test('a listener that throws ends the download with its error', async (t) => {
  const { scratch, options } = await scene(t);
  const onEvent = (event: TransferEvent) => {
    if (event.type === 'start') throw new Error('of the listener');
  };
  const targets = [scratch.path('a.img'), scratch.path('b.img')];
  await assert.rejects(downloadToTargets({ ...options, targets, onEvent }), /of the listener/);
});

/** Downloads to two files with read-back, and damages a block of one when all were written and none was read back. */
async function damageOne({ scratch, emulator, options }: Scene, onDamage: () => void = () => {}) {
  const { events, onEvent } = recorder();
  const [sound, damaged] = [scratch.path('sound.img'), scratch.path('damaged.img')];
  void emulator
    .waitForRequest(({ blockIndex }) => blockIndex === LAST)
    .then(() => {
      const file = openSync(`${damaged}.partial`, 'r+');
      writeSync(file, Buffer.from('damage'), 0, 6, 100 * BLOCK);
      closeSync(file);
      onDamage();
    });
  const verified = { ...options, verify: true, workers: 1, checkpoint: false, onEvent };
  return {
    events,
    sound,
    damaged,
    download: () => downloadToTargets({ ...verified, targets: [sound, damaged] }),
  };
}

test('a block that one target lost is fetched once more, and written to that one', async (t) => {
  const place = await scene(t);
  const { sound, damaged, download } = await damageOne(place);
  await download();
  assert.deepEqual(requested(place.emulator), [...place.blocks.keys(), 100]);
  for (const path of [sound, damaged])
    assert.equal(await firstWrongBlock(path, place.blocks, GIB), undefined);
});

test('only a target that is whole has a SHA-256', async (t) => {
  const { scratch, emulator, options } = await scene(t);
  const [taken, file] = [scratch.path('taken.img'), scratch.path('disk.img')];
  void emulator
    .waitForRequest(({ blockIndex }) => blockIndex === LAST)
    .then(() => writeFileSync(taken, 'of another program'));
  const result = await downloadToTargets({ ...options, targets: [taken, file], sha256: true });
  const [sha256] = (await execute('sha256sum', file)).split(' ');
  assert.deepEqual(
    result.targets.map((target) => [target.ok, target.sha256]),
    [
      [false, undefined],
      [true, sha256],
    ],
  );
});

test('several targets are read back as one phase, with the bytes of all', async (t) => {
  const { scratch, blocks, options } = await scene(t);
  const targets = [scratch.path('a.img'), scratch.path('b.img')];
  await downloadToTargets({ ...options, targets, verify: true });
  for (const path of targets) assert.equal(await firstWrongBlock(path, blocks, GIB), undefined);

  const { events, onEvent } = recorder();
  const run = new Run({ onEvent });
  const progress = new ReadBackProgress(run);
  await run.carryOut(async () => {
    const [a, b] = [{}, {}];
    progress.report(a, 10, 100);
    progress.report(b, 50, 50);
    progress.report(a, 100, 100);
  });
  const phases = events.flatMap((event) => (event.type === 'phase' ? [event] : []));
  // Reports that follow too soon are skipped, but the last.
  assert.deepEqual(phases, [
    { type: 'phase', phase: 'reading-back', bytesDone: 10, bytesTotal: 100 },
    { type: 'phase', phase: 'reading-back', bytesDone: 150, bytesTotal: 150 },
    { type: 'phase', phase: 'committing' },
  ]);
});

test('when the service fails while one target is repaired, that is no fault of the target', async (t) => {
  const place = await scene(t);
  const { emulator } = place;
  const action = { type: 'error', status: 403, code: 'AccessDeniedException' } as const;
  const { events, sound, damaged, download } = await damageOne(place, () =>
    emulator.setFaults([{ operation: 'GetSnapshotBlock', block: 100, action }]),
  );
  // The other target may have been committed before.
  const error = await download().then(
    ({ targets }) => targets[1]?.error,
    (failure: unknown) => failure,
  );
  assert.deepEqual(
    [(error as ColdsnapError).class, (error as ColdsnapError).code],
    ['config', 'ACCESS_DENIED'],
  );
  assert.ok(!events.some(({ type }) => type === 'warning'));
  assert.ok(!existsSync(sound) || (await firstWrongBlock(sound, place.blocks, GIB)) === undefined);
  assert.ok(!existsSync(damaged));
});
