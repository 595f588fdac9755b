/** A resumed transfer proves every byte that it claims: of the target, the source and the service. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { Emulator } from '../../src/emulator/index.ts';
import { downloadSnapshot, type TransferEvent, uploadSnapshot } from '../../src/index.ts';
import { chunkBlocksFor } from '../../src/transfer/journal/chunk-digests.ts';
import { writeJournal } from '../../src/transfer/journal/file.ts';
import { needsLoop, Scratch } from '../support/loop.ts';
import {
  bytesAt,
  firstWrongBlock,
  GIB,
  randomBlocks,
  recorder,
  scratch,
  startService,
} from '../support/service.ts';

const BLOCK = 65_536;
const BLOCKS = GIB / BLOCK;
const CHUNK = chunkBlocksFor(BLOCKS);
/** Data in many chunks, with gaps between them. */
const indexes = Array.from({ length: 64 }, (_, at) => at * 16 + 8);
/** The download is interrupted here. */
const denied = indexes.at(-8) as number;

function deny(emulator: Emulator, operation: string, block: number): void {
  const action = { type: 'error', status: 403, code: 'AccessDeniedException' } as const;
  emulator.setFaults([{ operation, block, action }]);
}

function codes(events: readonly TransferEvent[]): string[] {
  return events.flatMap((event) => (event.type === 'warning' ? [event.code] : []));
}

async function overwrite(path: string, offset: number, data: Buffer): Promise<void> {
  const file = await open(path, 'r+');
  await file.write(data, 0, data.length, offset);
  await file.sync();
  await file.close();
}

/** Changes every byte: a random one is the same once in 256 times. */
async function invert(path: string, offset: number, length: number): Promise<void> {
  const data = Buffer.alloc(length);
  const file = await open(path, 'r');
  await file.read(data, 0, length, offset);
  await file.close();
  await overwrite(path, offset, Buffer.from(data.map((byte) => ~byte)));
}

async function interrupted(t: TestContext, target: string) {
  const { emulator, service } = await startService(t, { blockSize: BLOCK });
  const blocks = randomBlocks(indexes, [], BLOCK);
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
  deny(emulator, 'GetSnapshotBlock', denied);
  await assert.rejects(downloadSnapshot({ snapshotId, target, workers: 1, ...service }), {
    code: 'ACCESS_DENIED',
  });
  emulator.setFaults([]);
  emulator.clearLog();
  const gets = () => emulator.requests('GetSnapshotBlock').map(({ blockIndex }) => blockIndex as number);
  return { blocks, snapshotId, service, gets };
}

const places: readonly [what: string, offset: number, length: number][] = [
  ['one byte of a block', 56 * BLOCK + 77, 1],
  ['a sector of a gap', 62 * BLOCK, 512],
  ['many chunks', 100 * BLOCK, 300 * BLOCK],
];

for (const [what, offset, length] of places) {
  test(
    `after ${what} of a device was written, only the chunks of it are restored again`,
    needsLoop,
    async (t) => {
      const place = await Scratch.for(t);
      const { device, backing } = await place.loop({ bytes: GIB });
      process.env.STATE_DIRECTORY = place.path('state');
      const { blocks, snapshotId, service, gets } = await interrupted(t, device);
      await invert(device, offset, length);
      const { events, onEvent } = recorder();
      await downloadSnapshot({ snapshotId, target: device, onEvent, ...service });
      assert.equal(await firstWrongBlock(backing, blocks, GIB, BLOCK), undefined);
      assert.deepEqual(codes(events), ['TARGET_MODIFIED']);
      const first = Math.floor(offset / BLOCK / CHUNK) * CHUNK;
      const end = (Math.floor((offset + length - 1) / BLOCK / CHUNK) + 1) * CHUNK;
      const again = indexes.filter((index) => index >= first && index < end);
      const rest = indexes.filter((index) => index >= denied && !again.includes(index));
      const expected = [...again, ...rest].sort((a, b) => a - b);
      // Staged blocks are always fetched.
      assert.deepEqual(
        gets()
          .filter((index) => index >= (2 * 2 ** 20) / BLOCK)
          .sort((a, b) => a - b),
        expected.filter((index) => index >= (2 * 2 ** 20) / BLOCK),
      );
    },
  );
}

test('a disk of the same name that holds nothing of the restore needs force', needsLoop, async (t) => {
  const place = await Scratch.for(t);
  const { device } = await place.loop({ bytes: GIB });
  process.env.STATE_DIRECTORY = place.path('state');
  const { snapshotId, service, gets } = await interrupted(t, device);
  await overwrite(device, 2 * 2 ** 20, randomBytes(512 * 2 ** 20));
  const run = downloadSnapshot({ snapshotId, target: device, ...service });
  await assert.rejects(run, { code: 'TARGET_NOT_BLANK', class: 'refused' });
  assert.deepEqual(gets(), []);
});

test('a journal of another endpoint is of another snapshot, though it has the same ID', async (t) => {
  const target = join(scratch(t), 'disk.img');
  const { snapshotId } = await interrupted(t, target);
  const other = await startService(t, { blockSize: BLOCK });
  const blocks = randomBlocks(indexes, [], BLOCK);
  await other.emulator.putSnapshot({ id: snapshotId, volumeSizeGiB: 1, blocks });
  const { events, onEvent } = recorder();
  await downloadSnapshot({ snapshotId, target, onEvent, ...other.service });
  assert.deepEqual(codes(events), ['JOURNAL_NOT_USED']);
  assert.equal(await firstWrongBlock(target, blocks, GIB, BLOCK), undefined);
});

test('a kept journal does not answer for an image that was changed, with its times put back', async (t) => {
  const { emulator, service } = await startService(t, { blockSize: BLOCK });
  const target = join(scratch(t), 'disk.img');
  const blocks = randomBlocks(indexes, [], BLOCK);
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
  const options = { snapshotId, target, keepCheckpoint: true, ...service };
  await downloadSnapshot(options);
  emulator.clearLog();
  await downloadSnapshot(options);
  assert.deepEqual(emulator.requests('GetSnapshotBlock'), []);
  const { atime, mtime } = statSync(target);
  await invert(target, 24 * BLOCK, 1);
  utimesSync(target, atime, mtime);
  await assert.rejects(downloadSnapshot(options), { code: 'TARGET_EXISTS' });
  await downloadSnapshot({ ...options, force: true });
  assert.equal(await firstWrongBlock(target, blocks, GIB, BLOCK), undefined);
});

test('a journal of the earlier format is ignored with a warning', async (t) => {
  const target = join(scratch(t), 'disk.img');
  const { blocks, snapshotId, service, gets } = await interrupted(t, target);
  const path = `${target}.coldsnap-progress`;
  const { digest, digests, service: _, ...journal } = JSON.parse(readFileSync(path, 'utf8'));
  await writeJournal(path, { ...journal, version: 1, samples: [] });
  const { events, onEvent } = recorder();
  await downloadSnapshot({ snapshotId, target, onEvent, ...service });
  assert.deepEqual(codes(events), ['JOURNAL_NOT_USED']);
  assert.equal(gets().length, indexes.length);
  assert.equal(await firstWrongBlock(target, blocks, GIB, BLOCK), undefined);
});

test('resuming reads back what is done, as a phase with progress', async (t) => {
  const target = join(scratch(t), 'disk.img');
  const { snapshotId, service } = await interrupted(t, target);
  const { events, onEvent } = recorder();
  await downloadSnapshot({ snapshotId, target, onEvent, ...service });
  const phases = events.filter((event) => event.type === 'phase' && event.phase === 'verifying');
  const last = phases.at(-1);
  assert.ok(last?.type === 'phase' && last.bytesTotal !== undefined && last.bytesTotal > 0);
  assert.equal(last.bytesDone, last.bytesTotal);
});

/** An upload that was interrupted in the middle. */
async function interruptedUpload(t: TestContext) {
  const { emulator, service } = await startService(t, { blockSize: BLOCK });
  const source = join(scratch(t), 'disk.img');
  writeFileSync(source, randomBytes(40 * BLOCK));
  deny(emulator, 'PutSnapshotBlock', 32);
  await assert.rejects(uploadSnapshot({ source, workers: 1, ...service }), { code: 'ACCESS_DENIED' });
  emulator.setFaults([]);
  emulator.clearLog();
  const puts = () => emulator.requests('PutSnapshotBlock').map(({ blockIndex }) => blockIndex);
  return { emulator, service, source, puts };
}

test('a source that was changed, with its times put back, is not mixed into the earlier snapshot', async (t) => {
  const { emulator, service, source, puts } = await interruptedUpload(t);
  const { atime, mtime } = statSync(source);
  await overwrite(source, 3 * BLOCK, randomBytes(100));
  utimesSync(source, atime, mtime);
  const { events, onEvent } = recorder();
  const { snapshotId } = await uploadSnapshot({ source, onEvent, ...service });
  assert.ok(codes(events).includes('JOURNAL_NOT_USED'));
  assert.equal(puts().length, 40);
  const image = readFileSync(source);
  const uploaded = await emulator.readImage(snapshotId);
  for (let block = 0; block < 40; block++) {
    const expected = image.subarray(block * BLOCK, (block + 1) * BLOCK);
    assert.ok(bytesAt(uploaded, block * BLOCK, BLOCK).equals(expected), `block ${block}`);
  }
});

test('a source that was touched but not changed is read back, and the upload resumes', async (t) => {
  const { service, source, puts } = await interruptedUpload(t);
  utimesSync(source, new Date(0), new Date(0));
  const { events, onEvent } = recorder();
  await uploadSnapshot({ source, onEvent, ...service });
  assert.ok(events.some((event) => event.type === 'phase' && event.phase === 'verifying'));
  assert.deepEqual(puts().sort(), [32, 33, 34, 35, 36, 37, 38, 39]);
});

test('after a resumed upload the service has accepted the snapshot, or a warning says that it is unknown', async (t) => {
  const { emulator, service, source } = await interruptedUpload(t);
  const { status } = await uploadSnapshot({ source, ...service });
  assert.equal(status, 'completed');
  assert.ok(emulator.requests('DescribeSnapshots').length > 0);
});
