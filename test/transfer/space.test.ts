/** Downloads to a file system that has less free space than is to be written. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { downloadSnapshot, estimateDownload } from '../../src/index.ts';
import '../support/in-memory.ts';
import { needsLoop, Scratch } from '../support/loop.ts';
import { BLOCK, GIB, randomBlocks, recorder, startService } from '../support/service.ts';

const MIB = 2 ** 20;

/** A snapshot with 10 MiB of data and 2 MiB of zeros, and a file on a file system of this size. */
async function scene(t: TestContext, bytes: number) {
  const { emulator, service } = await startService(t, { pageSize: 6 });
  const indexes = Array.from({ length: 20 }, (_, at) => at * 7);
  const blocks = randomBlocks(indexes, [900, 901, 902, 903]);
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
  const directory = await (await Scratch.for(t)).tmpfs(bytes);
  const { events, onEvent } = recorder();
  const warned = () =>
    events.flatMap((event) =>
      event.type === 'warning' && event.code === 'SPACE_LOW' ? [event.message] : [],
    );
  const target = join(directory, 'disk.img');
  return { emulator, target, warned, options: { snapshotId, target, workers: 1, ...service, onEvent } };
}

test(
  'a dry run warns of a file system that has less free space than is to be written',
  needsLoop,
  async (t) => {
    const { options, target, warned } = await scene(t, 4 * MIB);
    await estimateDownload(options);
    assert.deepEqual(warned(), [
      `The file system of ${target} has 4.0 MiB free, but 12.0 MiB are to be written. It becomes full unless much of that is ` +
        'zeros, or is compressed.',
    ]);
  },
);

test('a download warns of it once, before the file system is full', needsLoop, async (t) => {
  const { emulator, options, target, warned } = await scene(t, 4 * MIB);
  const log: string[] = [];
  const onEvent: typeof options.onEvent = (event) => {
    options.onEvent(event);
    if (warned().length === 1 && log.length === 0)
      log.push(`${emulator.requests('GetSnapshotBlock').length}`);
  };
  await assert.rejects(downloadSnapshot({ ...options, onEvent }), { code: 'ENOSPC' });
  assert.equal(warned().length, 1);
  assert.ok(Number(log[0]) < (4 * MIB) / BLOCK, `after ${log} blocks`);
  assert.ok(!existsSync(target));
});

test('blocks of zeros may fit after a warning, and there is none where all fits', needsLoop, async (t) => {
  const { options, target, warned } = await scene(t, 11 * MIB);
  await downloadSnapshot(options);
  assert.ok(existsSync(target));
  assert.equal(warned().length, 1);
  const large = await scene(t, 13 * MIB);
  await estimateDownload(large.options);
  await downloadSnapshot(large.options);
  assert.deepEqual(large.warned(), []);
});

test('what an earlier run has done needs no space again', needsLoop, async (t) => {
  const { emulator, options, warned } = await scene(t, 13 * MIB);
  const controller = new AbortController();
  void emulator.waitForRequest(({ blockIndex }) => blockIndex === 19 * 7).then(() => controller.abort());
  const interrupted = { ...options, checkpointIntervalMs: 1, signal: controller.signal };
  await assert.rejects(downloadSnapshot(interrupted), { class: 'aborted' });
  await estimateDownload(options);
  const { bytesResumed } = await downloadSnapshot(options);
  assert.ok(bytesResumed > 0 && bytesResumed < GIB);
  assert.deepEqual(warned(), []);
});
