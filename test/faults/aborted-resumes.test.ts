/** A run that is aborted at any event loses nothing of what the runs before it have done. */
import assert from 'node:assert/strict';
import { closeSync, existsSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import type { Emulator } from '../../src/emulator/index.ts';
import {
  copySnapshot,
  downloadSnapshot,
  downloadToTargets,
  type TransferEvent,
  uploadSnapshot,
} from '../../src/index.ts';
import { needsLoop, Scratch } from '../support/loop.ts';
import { startRegions } from '../support/regions.ts';
import { firstWrongBlock, GIB, randomBlocks, startService } from '../support/service.ts';

const BLOCK = 65_536;
const COUNT = 24;
/** Far apart, because a device's first 2 MiB are staged until the commit. */
const indexes = Array.from({ length: COUNT }, (_, at) => 64 + at * 40);

interface Interruption {
  readonly signal: AbortSignal;
  readonly workers: number;
  readonly checkpointIntervalMs: number;
  readonly onEvent: (event: TransferEvent) => void;
}

/**
 * Runs it until it ends. Every second run is aborted after two requests for blocks, the others at their first event, at
 * their second, and so on. Returns how many runs were aborted.
 */
async function abortAtEachEvent(
  emulator: Emulator,
  operation: string,
  run: (interruption: Interruption) => Promise<unknown>,
  afterAbort = () => {},
): Promise<number> {
  for (let aborted = 0; ; aborted++) {
    const controller = new AbortController();
    const last = (aborted - 1) / 2;
    let events = 0;
    const onEvent = () => {
      if (events++ === last) controller.abort();
    };
    if (!Number.isInteger(last))
      void emulator
        .waitForRequest((request) => request.operation === operation, 2)
        .then(() => controller.abort());
    try {
      await run({ signal: controller.signal, workers: 1, checkpointIntervalMs: 1, onEvent });
      return aborted;
    } catch (error) {
      assert.equal((error as { class?: string }).class, 'aborted', String(error));
      afterAbort();
    }
  }
}

/** Each block was requested once, or again when a run was aborted meanwhile. */
function assertFewRequests(emulator: Emulator, operation: string, aborted: number): void {
  const requests = emulator.requests(operation).length;
  assert.ok(requests <= COUNT + aborted, `${requests} requests for ${COUNT} blocks in ${aborted + 1} runs`);
}

async function scene(t: TestContext) {
  const place = await Scratch.for(t);
  process.env.STATE_DIRECTORY = place.directory;
  return { place, file: place.path('disk.img'), blocks: randomBlocks(indexes, [], BLOCK) };
}

for (const kind of ['a file', 'a device', 'several targets'] as const)
  test(`a download to ${kind} that is aborted at any event goes on in the next run`, needsLoop, async (t) => {
    const { place, file, blocks } = await scene(t);
    const { emulator, service } = await startService(t, { blockSize: BLOCK });
    const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
    const { device, backing } = await place.loop({ bytes: GIB });
    const download = (interruption: Interruption) => {
      const options = { snapshotId, ...service, ...interruption };
      if (kind === 'several targets') return downloadToTargets({ ...options, targets: [file, device] });
      return downloadSnapshot({ ...options, target: kind === 'a file' ? file : device });
    };
    const isKept = () => assert.ok(kind === 'a device' || existsSync(`${file}.partial`));
    const aborted = await abortAtEachEvent(emulator, 'GetSnapshotBlock', download, isKept);
    assertFewRequests(emulator, 'GetSnapshotBlock', aborted);
    if (kind !== 'a device') assert.equal(await firstWrongBlock(file, blocks, GIB, BLOCK), undefined);
    if (kind !== 'a file') assert.equal(await firstWrongBlock(backing, blocks, GIB, BLOCK), undefined);
  });

test('an incremental download that is aborted at any event goes on in the next run', async (t) => {
  const { file: target, blocks: baseBlocks } = await scene(t);
  const { emulator, service } = await startService(t, { blockSize: BLOCK });
  const since = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: baseBlocks });
  const blocks = randomBlocks(indexes, [], BLOCK);
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks, parent: since });
  await downloadSnapshot({ snapshotId: since, target, ...service });
  emulator.clearLog();
  await abortAtEachEvent(emulator, 'GetSnapshotBlock', (interruption) =>
    downloadSnapshot({ since, snapshotId, target, trustBase: true, ...service, ...interruption }),
  );
  assert.equal(await firstWrongBlock(target, blocks, GIB, BLOCK), undefined);
});

test('an upload that is aborted at any event goes on in the next run, with the same snapshot', async (t) => {
  const { file: source, blocks } = await scene(t);
  const { emulator, service } = await startService(t, { blockSize: BLOCK });
  writeFileSync(source, '');
  const file = openSync(source, 'r+');
  for (const [index, data] of blocks) writeSync(file, data, 0, BLOCK, index * BLOCK);
  closeSync(file);
  const aborted = await abortAtEachEvent(emulator, 'PutSnapshotBlock', (interruption) =>
    uploadSnapshot({ source, omitZeroBlocks: true, ...service, ...interruption }),
  );
  assertFewRequests(emulator, 'PutSnapshotBlock', aborted);
  const ids = emulator.requests('PutSnapshotBlock').map(({ snapshotId }) => snapshotId);
  assert.equal(new Set(ids).size, 1);
  assert.equal(emulator.requests('CompleteSnapshot').length, 1);
});

test('a copy that is aborted at any event goes on in the next run, with the same snapshot', async (t) => {
  const { blocks } = await scene(t);
  const { source, destination, service } = await startRegions(t, { blockSize: BLOCK });
  const snapshotId = await source.putSnapshot({ volumeSizeGiB: 1, blocks });
  const aborted = await abortAtEachEvent(destination, 'PutSnapshotBlock', (interruption) =>
    copySnapshot({ snapshotId, ...service, ...interruption }),
  );
  assertFewRequests(destination, 'PutSnapshotBlock', aborted);
  const ids = destination.requests('PutSnapshotBlock').map((request) => request.snapshotId);
  assert.equal(new Set(ids).size, 1);
});
