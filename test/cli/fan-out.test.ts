import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ColdsnapError } from '../../src/errors.ts';
import type { TransferEvent } from '../../src/transfer/events.ts';
import type { DownloadToTargetsResult } from '../../src/transfer/several-targets.ts';
import { downloadResult, makeWorld, startEvent, withoutHooks } from './support.ts';

const full = new ColdsnapError('local', 'ENOSPC', 'no space left on the file system of b.img', {
  path: 'b.img',
});

/** A library that downloads with these outcomes. */
const outcomes = (targets: DownloadToTargetsResult['targets']) =>
  makeWorld({
    downloadToTargets: async ({ onEvent }) => {
      onEvent?.({ ...startEvent, targets: targets.map(({ path }) => path) } as TransferEvent);
      return { ...downloadResult, targets };
    },
  });

const mixed = [
  { path: 'a.img', ok: true },
  { path: 'b.img', ok: false, error: full },
  { path: '-c.img', ok: false, error: new ColdsnapError('gave-up', 'STALLED', 'no progress') },
];

test('several targets are one call of the library, with the options of one', async () => {
  const calls: object[] = [];
  const world = makeWorld({
    downloadToTargets: async (options) => {
      calls.push(withoutHooks(options));
      return { ...downloadResult, targets: options.targets.map((path) => ({ path, ok: true })) };
    },
  });
  assert.equal(await world.run('download --force --verify snap-1 a.img b.img'), 0, world.stderr.text);
  assert.deepEqual(calls, [{ snapshotId: 'snap-1', targets: ['a.img', 'b.img'], force: true, verify: true }]);
  assert.deepEqual(world.downloads, []);
  assert.match(world.stderr.text, /^downloaded snap-\S+ to a\.img, b\.img: /m);
});

test('one target is downloaded as ever', async () => {
  const world = makeWorld({ downloadToTargets: () => assert.fail('called') });
  assert.equal(await world.run('download snap-1 a.img'), 0, world.stderr.text);
  assert.equal(world.downloads.length, 1);
});

test('the exit code is that of the first failed target, and the command for a repeat names the failed ones', async () => {
  const world = outcomes(mixed);
  const line = 'download --profile a.img --fresh snap-1 a.img b.img -- -c.img';
  assert.equal(await world.run(line), 1);
  const { lines } = world.stderr;
  assert.match(world.stderr.text, /^downloading snap-\S+ to 3 targets: /m);
  for (const expected of [
    'a.img is whole',
    'b.img is not whole: no space left on the file system of b.img',
    '-c.img is not whole: no progress',
    'coldsnap: no space left on the file system of b.img',
    '  Run it again: coldsnap download --profile a.img snap-1 b.img -- -c.img',
  ])
    assert.ok(lines.includes(expected), `${expected}\n${world.stderr.text}`);
  assert.doesNotMatch(world.stderr.text, /^downloaded/m);
  assert.equal(world.stdout.text, '');
});

test('the operands after -- are dropped, too', async () => {
  const world = outcomes([
    { path: 'b.img', ok: false, error: full },
    { path: '-c.img', ok: true },
  ]);
  assert.equal(await world.run('download --workers=4 snap-1 -- b.img -c.img'), 1);
  const expected = '  Run it again: coldsnap download --workers=4 snap-1 -- b.img';
  assert.ok(world.stderr.lines.includes(expected), world.stderr.text);
});

test('--json prints the outcome of each target, and the error last', async () => {
  const world = outcomes(mixed);
  assert.equal(await world.run('--json download snap-1 a.img b.img -- -c.img'), 1);
  const { operation, snapshotId, targets, bytesTotal } = JSON.parse(world.stdout.text);
  assert.deepEqual(
    [operation, snapshotId, bytesTotal],
    ['download', downloadResult.snapshotId, downloadResult.bytesTotal],
  );
  assert.deepEqual(targets, [
    { path: 'a.img', ok: true },
    { path: 'b.img', ok: false, error: { code: 'ENOSPC', class: 'local', message: full.message } },
    { path: '-c.img', ok: false, error: { code: 'STALLED', class: 'gave-up', message: 'no progress' } },
  ]);
  const last = JSON.parse(world.stderr.lines.at(-1)!);
  assert.deepEqual([last.type, last.exitCode, last.code], ['error', 1, 'ENOSPC']);
  assert.equal(last.runAgain, 'coldsnap --json download snap-1 b.img -- -c.img');
});

test('when none is whole, each is named, and the command is the same', async () => {
  const error = new ColdsnapError('gave-up', 'STALLED', 'no progress');
  const world = makeWorld({
    downloadToTargets: async ({ onEvent }) => {
      onEvent?.(startEvent);
      throw error;
    },
  });
  assert.equal(await world.run('download snap-1 a.img b.img'), 5);
  for (const expected of [
    'a.img is not whole',
    'b.img is not whole',
    '  Run it again: coldsnap download snap-1 a.img b.img',
  ])
    assert.ok(world.stderr.lines.includes(expected), world.stderr.text);
});

const noneWhole = () => {
  const stalled = new ColdsnapError('gave-up', 'STALLED', 'no progress');
  const targets = [
    { path: 'a.img', error: full },
    { path: 'b.img', error: stalled },
  ];
  return makeWorld({
    downloadToTargets: async ({ onEvent }) => {
      onEvent?.(startEvent);
      throw new ColdsnapError(full.class, full.code, full.message, { ...full, targets });
    },
  });
};

test('when each target has failed, the reason of each is printed, and the command that resumes', async () => {
  const world = noneWhole();
  assert.equal(await world.run('download --fresh snap-1 a.img b.img'), 1);
  for (const expected of [
    'a.img is not whole: no space left on the file system of b.img',
    'b.img is not whole: no progress',
    '  Run it again: coldsnap download snap-1 a.img b.img',
  ])
    assert.ok(world.stderr.lines.includes(expected), world.stderr.text);
});

test('--json prints the reason of each target that has failed with the error', async () => {
  const world = noneWhole();
  assert.equal(await world.run('--json download snap-1 a.img b.img'), 1);
  const { targets, runAgain } = JSON.parse(world.stderr.lines.at(-1)!);
  assert.deepEqual(targets, [
    { path: 'a.img', ok: false, error: { code: 'ENOSPC', class: 'local', message: full.message } },
    { path: 'b.img', ok: false, error: { code: 'STALLED', class: 'gave-up', message: 'no progress' } },
  ]);
  assert.equal(runAgain, 'coldsnap --json download snap-1 a.img b.img');
  assert.equal(world.stdout.text, '');
});

test('a refusal before the start says nothing of single targets', async () => {
  const world = makeWorld({
    downloadToTargets: async () => {
      throw new ColdsnapError('refused', 'TARGET_EXISTS', 'a.img already exists');
    },
  });
  assert.equal(await world.run('download snap-1 a.img b.img'), 3);
  assert.doesNotMatch(world.stderr.text, /whole|Run it again/);
});

test('nobody is asked whether one of several disks may be overwritten', async () => {
  const world = makeWorld({
    downloadToTargets: async () => {
      throw new ColdsnapError('refused', 'TARGET_NOT_BLANK', '/dev/sdb holds an ext4 file system');
    },
  });
  Object.assign(world.io, { ask: () => assert.fail('asked') });
  assert.equal(await world.run('download snap-1 /dev/sdb /dev/sdc'), 3);
});

test('--dry-run prints what all have in common, then each target', async () => {
  const world = makeWorld({
    estimateDownloadToTargets: async ({ snapshotId, targets }) => ({
      dryRun: true,
      operation: 'download',
      snapshotId,
      volumeSize: 2 ** 30,
      blocks: 2,
      bytes: 2 ** 20,
      requests: 3,
      dollars: 0.0000066,
      seconds: 0.002,
      bytesResumed: 0,
      targets: [
        { path: targets[0]!, blocks: 1, bytes: 2 ** 19, bytesResumed: 2 ** 19 },
        { path: targets[1]!, blocks: 2, bytes: 2 ** 20, bytesResumed: 0, overwrites: 'b.img exists' },
      ],
    }),
  });
  assert.equal(await world.run('download -n --force snap-1 a.img b.img'), 0, world.stderr.text);
  assert.deepEqual(world.stdout.lines, [
    'download  snap-1 to 2 targets',
    'volume    1.0 GiB (1073741824 bytes)',
    'to fetch  1.0 MiB (1048576 bytes) in 2 blocks',
    'cost      3 requests, less than $0.0001, at least 0.0 s',
    'a.img:',
    '  to write  512.0 KiB (524288 bytes) in 1 block',
    '  resumed   512.0 KiB (524288 bytes) already done',
    'b.img:',
    '  to write    1.0 MiB (1048576 bytes) in 2 blocks',
    '  overwrites  b.img exists',
  ]);
});
