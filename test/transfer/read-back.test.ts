import assert from 'node:assert/strict';
import { closeSync, existsSync, openSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { openTarget } from '../../src/image/open-target.ts';
import type { ResumableTarget } from '../../src/image/target.ts';
import { VerifiedTarget } from '../../src/image/verified-target.ts';
import { downloadSnapshot } from '../../src/index.ts';
import { sha256 } from '../../src/native/index.ts';
import { Run } from '../../src/transfer/run/run.ts';
import { ImageSink } from '../../src/transfer/sinks/image-sink.ts';
import { journalledBlocks } from '../faults/command.ts';
import { needsLoop, Scratch } from '../support/loop.ts';
import {
  BLOCK,
  firstWrongBlock,
  GIB,
  randomBlocks,
  recorder,
  scratch,
  startService,
} from '../support/service.ts';

const LAST = GIB / BLOCK - 1;
const indexes = [0, 1, 7, 8, 9, 600, LAST];

function damage(path: string, block: number): void {
  const file = openSync(path, 'r+');
  writeSync(file, Buffer.from('damage'), 0, 6, block * BLOCK + 10);
  closeSync(file);
}

/** Downloads, and damages a block of the target once all lower ones were written and before any was read back. */
async function downloadDamaged(t: TestContext, target: string, medium: string): Promise<void> {
  const { emulator, service } = await startService(t);
  const blocks = randomBlocks(indexes, [8]);
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
  const last = emulator.waitForRequest(({ blockIndex }) => blockIndex === LAST).then(() => damage(medium, 7));
  const { events, onEvent } = recorder();
  const options = { snapshotId, target, verify: true, workers: 1, checkpoint: false, onEvent, ...service };
  await downloadSnapshot(options);
  await last;
  assert.equal(await firstWrongBlock(medium.replace(/\.partial$/, ''), blocks, GIB), undefined);
  const requested = emulator.requests('GetSnapshotBlock').map(({ blockIndex }) => blockIndex as number);
  assert.deepEqual(requested, [...indexes, 7], 'only the damaged block is fetched again');
  const phases = events.flatMap((event) => (event.type === 'phase' ? [event.phase] : []));
  assert.deepEqual([...new Set(phases)], ['committing', 'reading-back']);
  assert.equal(phases.at(-1), 'committing');
}

test('a block of a file that was damaged after it was written is fetched and written again', async (t) => {
  const target = join(scratch(t), 'disk.img');
  await downloadDamaged(t, target, `${target}.partial`);
});

test(
  'a block of a device that was damaged after it was written is fetched and written again',
  needsLoop,
  async (t) => {
    const space = await Scratch.for(t);
    process.env.STATE_DIRECTORY = space.directory;
    const { device, backing } = await space.loop({ bytes: GIB });
    await downloadDamaged(t, device, backing);
  },
);

test('reading back makes no request, and the image is right', async (t) => {
  const { emulator, service } = await startService(t);
  const blocks = randomBlocks(indexes, [8]);
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
  const target = join(scratch(t), 'disk.img');
  await downloadSnapshot({ snapshotId, target, verify: true, checkpointIntervalMs: 1, ...service });
  assert.equal(await firstWrongBlock(target, blocks, GIB), undefined);
  assert.equal(emulator.requests('GetSnapshotBlock').length, blocks.size);
  assert.ok(!existsSync(`${target}.coldsnap-progress`));
});

test('the journal counts only what was read back', async (t) => {
  const target = join(scratch(t), 'disk.img');
  const inner = await openTarget(target);
  const sync = inner.sync.bind(inner);
  inner.sync = async () => {
    await sync();
    damage(`${target}.partial`, 5);
  };
  const run = new Run({});
  const verified = new VerifiedTarget(inner, inner.resumable as ResumableTarget, { rewrite: async () => {} });
  const sink = new ImageSink(run, verified, { snapshotId: 'snap-0a' });
  const write = async (index: number) => {
    const data = randomBlocks([index]).get(index) as Buffer;
    const [digest] = await sha256([data]);
    await sink.write({ index, data, digest: digest as Uint8Array, verified: false });
  };
  await run.carryOut(async () => {
    await sink.claim();
    await sink.finishEarlier({ endpoint: 'aws', region: 'us-east-1' });
    await sink.prepare({ volumeSize: GIB, blockSize: BLOCK });
    await write(3);
    await sink.checkpoint();
    await write(5);
    await write(6);
    const failure = await sink.checkpoint().catch((error: unknown) => error);
    assert.equal((failure as { code?: string }).code, 'TARGET_DAMAGED');
    assert.equal(await sink.abandon(failure), failure);
  });
  assert.deepEqual([...journalledBlocks(`${target}.coldsnap-progress`)], [3]);
});

test('a stream cannot be read back, which is an error before any request', async (t) => {
  const { emulator, service } = await startService(t);
  const target = new Writable({ write: (_chunk, _encoding, done) => done() });
  await assert.rejects(downloadSnapshot({ snapshotId: 'snap-0a', target, verify: true, ...service }), {
    class: 'usage',
    code: 'TARGET_NOT_READ_BACK',
  });
  assert.deepEqual(emulator.log, []);
});
