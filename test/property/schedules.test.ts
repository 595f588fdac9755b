/**
 * Random transfers under random faults, aborted at random requests: either they succeed and every byte is right, or they
 * fail in bounded time and the next run without faults succeeds.
 */
import assert from 'node:assert/strict';
import { hash, randomBytes } from 'node:crypto';
import { closeSync, ftruncateSync, openSync, readdirSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { type Emulator, type FaultAction, type FaultRule, startEmulator } from '../../src/emulator/index.ts';
import { blankProbes } from '../../src/image/device/blank.ts';
import {
  copySnapshot,
  type DownloadOptions,
  downloadSnapshot,
  downloadToTargets,
  listPendingSnapshots,
  type TransferEvent,
  uploadSnapshot,
} from '../../src/index.ts';
import { isZero } from '../../src/native/index.ts';
import { DigestReader } from '../../src/transfer/digests/reader.ts';
import { type Fault, faults } from '../faults/faults.ts';
import { listedBlocks } from '../support/listed.ts';
import { emptyDevice, forgetCache, needsLoop, Scratch } from '../support/loop.ts';
import { assertCopy, openRegions } from '../support/regions.ts';
import { firstWrongBlock, GIB } from '../support/service.ts';
import { until } from '../support/until.ts';
import { assertProperty } from './property.ts';

const MIB = 2 ** 20;

/** A safety net: all retries, deadlines and pauses together take a few seconds. */
const HANGS_AFTER_MS = 300_000;

process.env.AWS_ACCESS_KEY_ID = 'AKIDEXAMPLE';
process.env.AWS_SECRET_ACCESS_KEY = 'an example';

/** The faults of the matrix except those that only slow a transfer. */
const faultNames = (Object.keys(faults) as Fault[]).filter((name) => name !== 'arrives slowly');

const faultRule = (operations: readonly string[]) =>
  fc.record({
    operation: fc.constantFrom(...operations),
    fault: fc.constantFrom(...faultNames),
    when: fc.oneof(
      fc.record({ probability: fc.double({ min: 0.02, max: 0.4, noNaN: true }), seed: fc.nat() }),
      fc.record({ first: fc.integer({ min: 1, max: 3 }) }),
      fc.record({ nth: fc.integer({ min: 1, max: 12 }) }),
    ),
  });

const common = (operations: readonly string[]) => ({
  blockSize: fc.constantFrom(4_096, 16_384, 65_536),
  rules: fc.array(faultRule(operations), { maxLength: 5 }),
  abortAt: fc.option(fc.integer({ min: 1, max: 40 }), { nil: undefined }),
  workers: fc.integer({ min: 1, max: 8 }),
  transport: fc.constantFrom('fast' as const, 'sdk' as const),
  checkpointIntervalMs: fc.constantFrom(1, 10, 5_000),
});

type Common = {
  [Key in keyof ReturnType<typeof common>]: ReturnType<typeof common>[Key] extends fc.Arbitrary<infer Value>
    ? Value
    : never;
};

function rulesOf({ rules }: Common): FaultRule[] {
  return rules.map(({ operation, fault, when }) => ({
    operation,
    ...when,
    action: faults[fault] as FaultAction,
  }));
}

/** Blocks anywhere in the volume: some with data, some written as zeros. */
const someBlocks = fc.record({
  data: fc.uniqueArray(fc.oneof(fc.nat(20), fc.nat(16_383)), { maxLength: 25 }),
  zeros: fc.uniqueArray(fc.nat(20), { maxLength: 5 }),
});

function contents(
  { data, zeros }: { data: number[]; zeros: number[] },
  blockSize: number,
): Map<number, Buffer> {
  const blocks = new Map(data.map((block) => [block, randomBytes(blockSize)]));
  for (const block of zeros) blocks.set(block, Buffer.alloc(blockSize));
  return blocks;
}

/** Runs a transfer under a schedule. @returns its failure; undefined on success */
async function underFaults(
  emulator: Emulator,
  schedule: Common,
  transfer: (options: Pick<DownloadOptions, 'signal' | 'retryForMs' | 'deadlines'>) => Promise<unknown>,
): Promise<unknown> {
  emulator.setFaults(rulesOf(schedule));
  const controller = new AbortController();
  const abort = () => controller.abort();
  const { abortAt } = schedule;
  if (abortAt !== undefined) void emulator.waitForRequest(() => true, abortAt).then(abort, () => {});
  try {
    const deadlines = { connectMs: 1_000, idleMs: 100 };
    await inTime((hangs) => {
      const signal = AbortSignal.any([controller.signal, hangs]);
      return transfer({ signal, retryForMs: 200, deadlines });
    });
    return undefined;
  } catch (error) {
    assert.equal((error as Error).name, 'ColdsnapError', String((error as Error).stack));
    return error;
  } finally {
    emulator.setFaults([]);
  }
}

/** Aborts a transfer that hangs, because its target would be in use for all later runs. */
async function inTime(work: (signal: AbortSignal) => Promise<unknown>): Promise<void> {
  const controller = new AbortController();
  const working = work(controller.signal);
  const ended = working.catch(() => {});
  let timer: NodeJS.Timeout | undefined;
  const tooLong = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      controller.abort();
      void Promise.race([ended, sleep(5_000)]).then(() => reject(new Error('it hangs')));
    }, HANGS_AFTER_MS);
  });
  await Promise.race([working.finally(() => clearTimeout(timer)), tooLong]).catch((error: unknown) => {
    throw controller.signal.aborted ? new assert.AssertionError({ message: 'it hangs' }) : error;
  });
}

const downloads = fc.record({
  ...common(['ListSnapshotBlocks', 'GetSnapshotBlock', 'GetSnapshotBlock']),
  blocks: someBlocks,
  verify: fc.boolean(),
  pageSize: fc.integer({ min: 1, max: 12 }),
  emptyPages: fc.nat(2),
});

type Download = typeof downloads extends fc.Arbitrary<infer Value> ? Value : never;

/** @param image the file with the target's bytes and holes */
async function checkDownload(schedule: Download, target: string, image: string): Promise<void> {
  const { blockSize, pageSize, emptyPages, workers, transport, checkpointIntervalMs, verify } = schedule;
  const emulator = await startEmulator({ blockSize, pageSize, emptyPages });
  try {
    const blocks = contents(schedule.blocks, blockSize);
    const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
    const service = { endpoint: emulator.url, region: 'us-east-1' };
    const saveDigests = `${image}.digests`;
    const limits = { workers, transport, checkpointIntervalMs };
    const base = { snapshotId, target, verify, saveDigests, ...limits, ...service };
    const failure = await underFaults(emulator, schedule, (options) =>
      downloadSnapshot({ ...base, ...options }),
    );
    if (failure !== undefined) await inTime((signal) => downloadSnapshot({ ...base, signal }));
    assert.equal(await firstWrongBlock(image, blocks, GIB, blockSize), undefined, `after ${failure}`);
    await checkDigests(saveDigests, snapshotId, blocks, `after ${failure}`);
  } finally {
    await emulator.close();
  }
}

/** Compares a digest file with the blocks of its snapshot. */
async function checkDigests(
  path: string,
  snapshotId: string,
  blocks: ReadonlyMap<number, Buffer>,
  when: string,
): Promise<void> {
  const digests = await DigestReader.open(path);
  assert.equal(digests?.header.snapshotId, snapshotId);
  for (const [block, data] of blocks) {
    const digest = isZero(data) ? undefined : hash('sha256', data, 'hex');
    const saved = await digests!.digest(block);
    assert.equal(saved && Buffer.from(saved).toString('hex'), digest, `block ${block} ${when}`);
  }
  await digests?.close();
}

test('a download to a file either succeeds with every byte right, or fails and the next run succeeds', async (t) => {
  const scratch = await Scratch.for(t);
  const target = scratch.path('disk.img');
  const property = fc.asyncProperty(downloads, async (schedule) => {
    for (const end of ['', '.partial', '.coldsnap-progress']) rmSync(`${target}${end}`, { force: true });
    await checkDownload(schedule, target, target);
  });
  await assertProperty(t, property, 14);
});

test(
  'a download to a device with other data on it either succeeds, or fails and the next run succeeds',
  needsLoop,
  async (t) => {
    const scratch = await Scratch.for(t);
    process.env.STATE_DIRECTORY = scratch.directory;
    const { device, backing } = await scratch.loop({ bytes: GIB });
    const property = fc.asyncProperty(downloads, fc.nat(), async (schedule, at) => {
      // Blank where the product checks, and random data elsewhere, which must be overwritten.
      const file = openSync(backing, 'r+');
      ftruncateSync(file, 0);
      ftruncateSync(file, GIB);
      const start = at % (GIB - MIB);
      const data = randomBytes(MIB);
      for (const { offset, length } of blankProbes(GIB)) {
        const from = Math.max(0, offset - start);
        const to = Math.min(MIB, offset + length - start);
        if (from < to) data.fill(0, from, to);
      }
      writeSync(file, data, 0, MIB, start);
      closeSync(file);
      await forgetCache(device);
      await checkDownload(schedule, device, backing);
    });
    await assertProperty(t, property, 8);
  },
);

test(
  'a download to a file and a device either succeeds with every byte of both right, or fails and the next run succeeds',
  needsLoop,
  async (t) => {
    const scratch = await Scratch.for(t);
    process.env.STATE_DIRECTORY = scratch.directory;
    const loop = await scratch.loop({ bytes: GIB });
    const { device, backing } = loop;
    const file = scratch.path('disk.img');
    const property = fc.asyncProperty(downloads, async (schedule) => {
      for (const end of ['', '.partial', '.coldsnap-progress']) rmSync(`${file}${end}`, { force: true });
      await emptyDevice(loop);
      await checkTwoTargets(schedule, [file, device], [file, backing]);
    });
    await assertProperty(t, property, 8);
  },
);

/** @param images the files with the targets' bytes and holes */
async function checkTwoTargets(schedule: Download, targets: string[], images: string[]): Promise<void> {
  const { blockSize, pageSize, emptyPages, workers, transport, checkpointIntervalMs, verify } = schedule;
  const emulator = await startEmulator({ blockSize, pageSize, emptyPages });
  try {
    const blocks = contents(schedule.blocks, blockSize);
    const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
    const service = { endpoint: emulator.url, region: 'us-east-1' };
    const base = { snapshotId, workers, transport, checkpointIntervalMs, verify, ...service };
    let unfinished: string[] = targets;
    // Some targets may be whole although others failed; only the others are downloaded again.
    const download = async (options: Partial<DownloadOptions>) => {
      const result = await downloadToTargets({ ...base, ...options, targets: unfinished });
      unfinished = result.targets.flatMap(({ path, ok }) => (ok ? [] : [path]));
    };
    const failure = await underFaults(emulator, schedule, download);
    if (unfinished.length > 0) await inTime((signal) => download({ signal }));
    assert.deepEqual(unfinished, []);
    for (const image of images)
      assert.equal(await firstWrongBlock(image, blocks, GIB, blockSize), undefined, `after ${failure}`);
  } finally {
    await emulator.close();
  }
}

const updates = fc.record({
  ...common(['ListSnapshotBlocks', 'ListChangedBlocks', 'GetSnapshotBlock', 'GetSnapshotBlock']),
  blocks: someBlocks,
  changes: someBlocks,
  gone: fc.uniqueArray(fc.nat(20), { maxLength: 6 }),
  verify: fc.boolean(),
  pageSize: fc.integer({ min: 1, max: 12 }),
});

type Update = typeof updates extends fc.Arbitrary<infer Value> ? Value : never;

/** @param image the file with the target's bytes and holes */
async function checkUpdate(schedule: Update, target: string, image: string): Promise<void> {
  const { blockSize, pageSize, workers, transport, checkpointIntervalMs, verify } = schedule;
  const emulator = await startEmulator({ blockSize, pageSize });
  try {
    const before = contents(schedule.blocks, blockSize);
    const since = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: before });
    const changes = contents(schedule.changes, blockSize);
    const gone = schedule.gone.filter((block) => before.has(block) && !changes.has(block));
    const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: changes, parent: since, gone });
    const after = new Map([...before, ...changes]);
    for (const block of gone) after.delete(block);
    const file = openSync(image, 'w');
    ftruncateSync(file, GIB);
    for (const [block, data] of before) writeSync(file, data, 0, blockSize, block * blockSize);
    closeSync(file);
    if (target !== image) await forgetCache(target);
    const service = { endpoint: emulator.url, region: 'us-east-1' };
    const base = { since, snapshotId, target, workers, transport, checkpointIntervalMs, verify, ...service };
    const failure = await underFaults(emulator, schedule, (options) =>
      downloadSnapshot({ ...base, ...options }),
    );
    if (failure !== undefined) await inTime((signal) => downloadSnapshot({ ...base, signal }));
    assert.equal(await firstWrongBlock(image, after, GIB, blockSize), undefined, `after ${failure}`);
  } finally {
    await emulator.close();
  }
}

test('an incremental download to a file either succeeds with every byte right, or fails and the next run succeeds', async (t) => {
  const scratch = await Scratch.for(t);
  const target = scratch.path('disk.img');
  const property = fc.asyncProperty(updates, async (schedule) => {
    for (const end of ['', '.partial', '.coldsnap-progress']) rmSync(`${target}${end}`, { force: true });
    await checkUpdate(schedule, target, target);
  });
  await assertProperty(t, property, 10);
});

test(
  'an incremental download to a device either succeeds with every byte right, or fails and the next run succeeds',
  needsLoop,
  async (t) => {
    const scratch = await Scratch.for(t);
    process.env.STATE_DIRECTORY = scratch.directory;
    const { device, backing } = await scratch.loop({ bytes: GIB });
    const property = fc.asyncProperty(updates, (schedule) => checkUpdate(schedule, device, backing));
    await assertProperty(t, property, 6);
  },
);

const childUploads = fc.record({
  ...common([
    'ListSnapshotBlocks',
    'GetSnapshotBlock',
    'StartSnapshot',
    'PutSnapshotBlock',
    'PutSnapshotBlock',
    'CompleteSnapshot',
  ]),
  blocks: someBlocks,
  changes: someBlocks,
  base: fc.constantFrom('service', 'image', 'digests'),
  pageSize: fc.integer({ min: 1, max: 12 }),
  completionDelayMs: fc.constantFrom(0, 100),
});

type ChildUpload = typeof childUploads extends fc.Arbitrary<infer Value> ? Value : never;

/** Uploads what differs from a parent, with the digests of all. */
async function checkChildUpload(schedule: ChildUpload, path: (name: string) => string): Promise<void> {
  const { blockSize, pageSize, workers, transport, checkpointIntervalMs, completionDelayMs } = schedule;
  const emulator = await startEmulator({ blockSize, pageSize, completionDelayMs });
  try {
    const service = { endpoint: emulator.url, region: 'us-east-1' };
    const before = contents(schedule.blocks, blockSize);
    const parentSnapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: before });
    const [parentImage, parentDigests] = [path('parent.img'), path('parent.digests')];
    await downloadSnapshot({
      snapshotId: parentSnapshotId,
      target: parentImage,
      saveDigests: parentDigests,
      force: true,
      ...service,
    });
    const changes = new Map([...before, ...contents(schedule.changes, blockSize)]);
    const source = path('disk.img');
    const after = writeImage(source, changes, GIB, blockSize);
    const files = { service: {}, image: { base: parentImage }, digests: { base: parentDigests } };
    const saveDigests = path('child.digests');
    const base = {
      ...{ source, parentSnapshotId, incremental: true, detectHoles: true, saveDigests },
      ...files[schedule.base],
      ...{ workers, transport, checkpointIntervalMs },
      wait: { successesRequired: 1, secondsBetweenAttempts: 0.05, timeoutMs: HANGS_AFTER_MS },
      ...service,
    };
    let snapshotId = '';
    const failure = await underFaults(emulator, schedule, async (options) => {
      ({ snapshotId } = await uploadSnapshot({ ...base, ...options }));
    });
    if (failure !== undefined) {
      await inTime(async (signal) => {
        ({ snapshotId } = await uploadSnapshot({ ...base, signal }));
      });
    }
    assert.equal(await settledStatus(emulator, snapshotId), 'completed', `after ${failure}`);
    const zeros = Buffer.alloc(blockSize);
    const differing = [...after].filter(([block, data]) => !data.equals(before.get(block) ?? zeros));
    // Where nothing differs and the service refuses an empty snapshot, the parent is the result.
    const sent = snapshotId === parentSnapshotId ? [] : emulator.snapshot(snapshotId)?.writtenBlocks;
    assert.deepEqual(
      sent,
      differing.map(([block]) => block).sort((a, b) => a - b),
      `after ${failure}`,
    );
    const image = await emulator.readImage(snapshotId);
    assert.equal(await firstWrongBlock(image, after, GIB, blockSize), undefined, `after ${failure}`);
    await checkDigests(saveDigests, snapshotId, after, `after ${failure}`);
  } finally {
    await emulator.close();
  }
}

test('an incremental upload either completes a snapshot with exactly these bytes, or fails and the next run does', async (t) => {
  const scratch = await Scratch.for(t);
  process.env.STATE_DIRECTORY = scratch.directory;
  let count = 0;
  const property = fc.asyncProperty(childUploads, async (schedule) => {
    count++;
    await checkChildUpload(schedule, (name) => join(scratch.directory, `${count}-${name}`));
    for (const name of readdirSync(scratch.directory)) rmSync(join(scratch.directory, name));
  });
  await assertProperty(t, property, 10);
});

const uploads = fc.record({
  ...common([
    'StartSnapshot',
    'PutSnapshotBlock',
    'PutSnapshotBlock',
    'PutSnapshotBlock',
    'CompleteSnapshot',
    'DescribeSnapshots',
  ]),
  blocks: fc.record({
    data: fc.uniqueArray(fc.nat(30), { maxLength: 25 }),
    zeros: fc.uniqueArray(fc.nat(30), { maxLength: 5 }),
  }),
  length: fc.integer({ min: 1, max: 31 * 4_096 }),
  zeros: fc.constantFrom('sent', 'omitted', 'holes'),
  completionDelayMs: fc.constantFrom(0, 100),
});

type Upload = typeof uploads extends fc.Arbitrary<infer Value> ? Value : never;

/** A snapshot that is still pending then was never completed. */
const MOST_LOOKS = 2_000;

/** The state of a completed snapshot, once the emulator has verified its blocks. */
async function settledStatus(emulator: Emulator, snapshotId: string): Promise<string | undefined> {
  let looks = 0;
  await until(() => emulator.snapshot(snapshotId)?.status !== 'pending' || ++looks === MOST_LOOKS);
  return emulator.snapshot(snapshotId)?.status;
}

async function checkUpload(schedule: Upload, source: string): Promise<void> {
  const { blockSize, workers, transport, checkpointIntervalMs, zeros, completionDelayMs } = schedule;
  const emulator = await startEmulator({ blockSize, completionDelayMs });
  try {
    const length = Math.ceil((schedule.length / 4_096) * blockSize);
    const expected = writeImage(source, contents(schedule.blocks, blockSize), length, blockSize);
    const service = { endpoint: emulator.url, region: 'us-east-1' };
    const warnings: string[] = [];
    const onEvent = (event: TransferEvent) => {
      if (event.type === 'warning') warnings.push(event.message);
    };
    const base = {
      source,
      workers,
      transport,
      checkpointIntervalMs,
      omitZeroBlocks: zeros === 'omitted',
      detectHoles: zeros === 'holes',
      wait: { successesRequired: 1, secondsBetweenAttempts: 0.05, timeoutMs: HANGS_AFTER_MS },
      onEvent,
      ...service,
    };
    let snapshotId = '';
    const failure = await underFaults(emulator, schedule, async (options) => {
      ({ snapshotId } = await uploadSnapshot({ ...base, ...options }));
    });
    if (failure !== undefined) {
      await inTime(async (signal) => {
        ({ snapshotId } = await uploadSnapshot({ ...base, signal }));
      });
    }
    assert.equal(await settledStatus(emulator, snapshotId), 'completed', `after ${failure}`);
    const image = await emulator.readImage(snapshotId);
    assert.equal(await firstWrongBlock(image, expected, GIB, blockSize), undefined, `after ${failure}`);
    for (const pending of await listPendingSnapshots({ ...service })) {
      assert.ok(
        warnings.some((text) => text.includes(pending.snapshotId)),
        `${pending.snapshotId} is pending without a warning`,
      );
    }
  } finally {
    await emulator.close();
  }
}

/** Writes an image of `length` bytes. @returns the expected blocks of its volume, the last one padded */
function writeImage(path: string, blocks: Map<number, Buffer>, length: number, blockSize: number) {
  const file = openSync(path, 'w');
  ftruncateSync(file, length);
  const expected = new Map<number, Buffer>();
  for (const [block, data] of blocks) {
    const count = Math.min(blockSize, length - block * blockSize);
    if (count <= 0) continue;
    writeSync(file, data, 0, count, block * blockSize);
    expected.set(block, Buffer.concat([data.subarray(0, count)], blockSize));
  }
  closeSync(file);
  return expected;
}

test('an upload either completes a snapshot with exactly these bytes, or fails and the next run does; no snapshot stays pending without a warning', async (t) => {
  const scratch = await Scratch.for(t);
  process.env.STATE_DIRECTORY = scratch.directory;
  let count = 0;
  const property = fc.asyncProperty(uploads, async (schedule) => {
    const source = join(scratch.directory, `disk-${count++}.img`);
    await checkUpload(schedule, source);
    rmSync(source);
  });
  await assertProperty(t, property, 10);
});

const copies = fc.record({
  ...common([
    'ListSnapshotBlocks',
    'ListChangedBlocks',
    'GetSnapshotBlock',
    'GetSnapshotBlock',
    'StartSnapshot',
    'PutSnapshotBlock',
    'PutSnapshotBlock',
    'CompleteSnapshot',
    'DescribeSnapshots',
  ]),
  blocks: someBlocks,
  changes: someBlocks,
  gone: fc.uniqueArray(fc.nat(20), { maxLength: 6 }),
  incremental: fc.boolean(),
  pageSize: fc.integer({ min: 1, max: 12 }),
});

type Copy = typeof copies extends fc.Arbitrary<infer Value> ? Value : never;

async function checkCopy(schedule: Copy): Promise<void> {
  const { blockSize, pageSize, workers, transport, checkpointIntervalMs, incremental } = schedule;
  const regions = await openRegions({ blockSize, pageSize });
  const { source, destination, service } = regions;
  try {
    const before = contents(schedule.blocks, blockSize);
    const since = await source.putSnapshot({ volumeSizeGiB: 1, blocks: before });
    const changes = contents(schedule.changes, blockSize);
    const gone = schedule.gone.filter((block) => before.has(block) && !changes.has(block));
    const next = await source.putSnapshot({ volumeSizeGiB: 1, blocks: changes, parent: since, gone });
    const parentSnapshotId = await destination.putSnapshot({ volumeSizeGiB: 1, blocks: before });
    const after = new Map([...before, ...(incremental ? changes : [])]);
    for (const block of incremental ? gone : []) after.set(block, Buffer.alloc(blockSize));
    const warnings: string[] = [];
    const onEvent = (event: TransferEvent) => {
      if (event.type === 'warning') warnings.push(event.message);
    };
    const what = incremental ? { snapshotId: next, since, parentSnapshotId } : { snapshotId: since };
    const base = { ...service, ...what, workers, transport, checkpointIntervalMs, onEvent };
    let snapshotId = '';
    source.setFaults(rulesOf(schedule));
    const failure = await underFaults(destination, schedule, async (options) => {
      ({ snapshotId } = await copySnapshot({ ...base, ...options }));
    });
    source.setFaults([]);
    if (failure !== undefined) {
      await inTime(async (signal) => {
        ({ snapshotId } = await copySnapshot({ ...base, signal }));
      });
    }
    assert.equal(await settledStatus(destination, snapshotId), 'completed', `after ${failure}`);
    const listed = await listedBlocks(destination, snapshotId);
    await assertCopy(regions, snapshotId, { blocks: after, blockSize }, listed);
    const at = { endpoint: destination.url, region: destination.region };
    for (const pending of await listPendingSnapshots(at)) {
      assert.ok(
        warnings.some((text) => text.includes(pending.snapshotId)),
        `${pending.snapshotId} is pending without a warning`,
      );
    }
  } finally {
    await regions.close();
  }
}

test('a copy either completes a snapshot with exactly these blocks, or fails and the next run does; no snapshot stays pending without a warning', async (t) => {
  const scratch = await Scratch.for(t);
  process.env.STATE_DIRECTORY = scratch.directory;
  await assertProperty(t, fc.asyncProperty(copies, checkCopy), 14);
});
