/** Images that an interrupted download has left half written, as the source of an upload and in a comparison. */
import assert from 'node:assert/strict';
import { closeSync, ftruncateSync, openSync, renameSync, statSync, writeSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import {
  type DownloadOptions,
  downloadSnapshot,
  estimateUpload,
  uploadSnapshot,
  verifySnapshot,
} from '../../src/index.ts';
import '../support/in-memory.ts';
import { needsLoop, Scratch } from '../support/loop.ts';
import { GIB, randomBlocks, recorder, startService } from '../support/service.ts';

/** Large, so that an upload has few. */
const BLOCK = 2 ** 22;
const LAST = GIB / BLOCK - 1;
/** Uploads of mostly zeros. */
const quickly = { omitZeroBlocks: true };

function writeBlocks(path: string, blocks: ReadonlyMap<number, Buffer>): void {
  const file = openSync(path, statSync(path, { throwIfNoEntry: false }) === undefined ? 'w' : 'r+');
  if (statSync(path).isFile()) ftruncateSync(file, GIB);
  for (const [block, data] of blocks) writeSync(file, data, 0, BLOCK, block * BLOCK);
  closeSync(file);
}

/** A target on which a download was interrupted. */
async function interrupted(
  t: TestContext,
  kind: 'file' | 'device',
  how: 'full' | 'since',
  more: Partial<DownloadOptions> = {},
) {
  const { emulator, service } = await startService(t, { blockSize: BLOCK });
  const baseBlocks = randomBlocks([0, 1, 50, LAST], [], BLOCK);
  const base = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: baseBlocks });
  const changed = randomBlocks([5, 60, 70], [], BLOCK);
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: changed, parent: base });
  const scratch = await Scratch.for(t);
  process.env.STATE_DIRECTORY = scratch.directory;
  const { device: target, backing: medium } =
    kind === 'device'
      ? await scratch.loop({ bytes: GIB })
      : { device: scratch.path('disk.img'), backing: scratch.path('disk.img') };
  const options = { snapshotId, target, workers: 1, checkpointIntervalMs: 1, ...service, ...more };
  const download = () => downloadSnapshot(how === 'since' ? { ...options, since: base } : options);
  if (how === 'since') writeBlocks(medium, baseBlocks);
  const controller = new AbortController();
  void emulator
    .waitForRequest(({ snapshotId: of, blockIndex }) => of === snapshotId && blockIndex === 70)
    .then(() => controller.abort());
  options.signal = controller.signal;
  await assert.rejects(download(), { class: 'aborted' });
  delete options.signal;
  emulator.clearLog();
  const source = kind === 'device' ? target : `${target}.partial`;
  const what = how === 'since' ? `${snapshotId} based on ${base}` : snapshotId;
  return { emulator, service, base, baseBlocks, snapshotId, target, medium, source, what, download };
}

for (const kind of ['file', 'device'] as const)
  for (const how of ['full', 'since'] as const) {
    const needs = kind === 'device' ? needsLoop : {};
    const name = `a ${kind} that an interrupted ${how === 'since' ? 'incremental ' : ''}download has left`;

    test(`${name} is not uploaded without force, and is once the download is finished`, needs, async (t) => {
      const { emulator, service, target, source, what, download } = await interrupted(t, kind, how);
      const refused = {
        class: 'refused',
        code: 'SOURCE_UNFINISHED',
        message: `${source} holds an interrupted download of ${what}`,
      };
      await assert.rejects(uploadSnapshot({ source, ...service }), refused);
      await assert.rejects(estimateUpload({ source, ...service }), refused);
      assert.deepEqual(emulator.log, []);
      const { events, onEvent } = recorder();
      await uploadSnapshot({ source, force: true, ...quickly, ...service, onEvent });
      const codes = events.flatMap((event) => (event.type === 'warning' ? [event.code] : []));
      assert.deepEqual(
        codes.filter((code) => /^SOURCE/.test(code)),
        ['SOURCE_UNFINISHED'],
      );
      await download();
      await uploadSnapshot({ source: target, ...quickly, ...service });
    });

    test(`${name} is compared with a warning`, needs, async (t) => {
      const { service, snapshotId, source, what, download, target } = await interrupted(t, kind, how);
      const { events, onEvent } = recorder();
      const options = { snapshotId, onEvent, ...service };
      const { equal } = await verifySnapshot({ ...options, target: source });
      assert.ok(!equal);
      const warned = events.flatMap((event) => (event.type === 'warning' ? [event] : []));
      assert.deepEqual(
        warned.map(({ code }) => code),
        ['SOURCE_UNFINISHED'],
      );
      assert.ok(warned[0]!.message.includes(`${source} holds an interrupted download of ${what}`));
      await download();
      events.length = 0;
      assert.ok((await verifySnapshot({ ...options, target })).equal);
      assert.ok(!events.some(({ type }) => type === 'warning'));
    });
  }

test('an image of the parent that an interrupted download has left is no base', async (t) => {
  const { emulator, service, base, source } = await interrupted(t, 'file', 'since');
  const options = { source: source.replace('.partial', '.new'), incremental: true, parentSnapshotId: base };
  writeBlocks(options.source, randomBlocks([3], [], BLOCK));
  const trusted = { ...options, base: source, trustBase: true, force: true, ...service };
  await assert.rejects(uploadSnapshot(trusted), { class: 'refused', code: 'SOURCE_UNFINISHED' });
  assert.deepEqual(emulator.log, []);
});

test('an unfinished file is recognized under another name, and without its journal', async (t) => {
  const { service, source, target } = await interrupted(t, 'file', 'full');
  renameSync(source, target);
  await assert.rejects(uploadSnapshot({ source: target, ...service }), {
    code: 'SOURCE_UNFINISHED',
    message: `${target} holds an interrupted download`,
  });
});

test('a device that was written since the interruption is uploaded', needsLoop, async (t) => {
  const { service, source, baseBlocks } = await interrupted(t, 'device', 'since');
  writeBlocks(source, baseBlocks);
  await uploadSnapshot({ source, ...quickly, ...service });
});

test(
  'a device whose download has succeeded is uploaded, though its journal was kept and it begins with zeros',
  needsLoop,
  async (t) => {
    const { emulator, service } = await startService(t, { blockSize: BLOCK });
    const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: randomBlocks([9], [], BLOCK) });
    const scratch = await Scratch.for(t);
    process.env.STATE_DIRECTORY = scratch.directory;
    const { device } = await scratch.loop({ bytes: GIB });
    await downloadSnapshot({ snapshotId, target: device, keepCheckpoint: true, ...service });
    await uploadSnapshot({ source: device, ...quickly, ...service });
  },
);

test('a source that an interrupted incremental download has renamed is missing, and the message names the partial file', async (t) => {
  const { service, target, source } = await interrupted(t, 'file', 'since');
  await assert.rejects(uploadSnapshot({ source: target, ...service }), {
    class: 'usage',
    code: 'SOURCE_MISSING',
    message: `${target} does not exist`,
    hint: `Check the name. If ${source} is of an interrupted download, run that again to finish it.`,
  });
});
