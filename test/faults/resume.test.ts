/** How a run resumes after an interrupted one: journals in every place, snapshots in every state. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { CompleteSnapshotCommand, EBSClient } from '@aws-sdk/client-ebs';
import type { Emulator } from '../../src/emulator/index.ts';
import {
  type DownloadOptions,
  downloadSnapshot,
  type TransferEvent,
  uploadSnapshot,
} from '../../src/index.ts';
import { startRequest } from '../../src/transfer/snapshot/request.ts';
import { needsLoop, Scratch } from '../support/loop.ts';
import {
  bytesAt,
  firstWrongBlock,
  GIB,
  randomBlocks,
  recorder,
  scratch,
  startService,
  uploadJournal,
} from '../support/service.ts';

const BLOCK = 65_536;
const COUNT = 8;
/** Blocks far apart, because a device's first 2 MiB are staged until commit. */
const indexes = Array.from({ length: COUNT }, (_, at) => at * 8);
const blocks = randomBlocks(indexes, [], BLOCK);

/** Denies access to one block, so that a run with one worker fails there. */
function deny(emulator: Emulator, operation: string, block: number): void {
  const action = { type: 'error', status: 403, code: 'AccessDeniedException' } as const;
  emulator.setFaults([{ operation, block, action }]);
}

/** A download that can be interrupted in the middle; `gets` are the blocks requested since. */
async function download(t: TestContext, target: string, options: Partial<DownloadOptions> = {}) {
  const { emulator, service } = await startService(t, { blockSize: BLOCK });
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
  const run = (more: Partial<DownloadOptions> = {}) =>
    downloadSnapshot({ snapshotId, target, workers: 1, ...service, ...options, ...more });
  const interrupt = async (more: Partial<DownloadOptions> = {}) => {
    deny(emulator, 'GetSnapshotBlock', 32);
    await assert.rejects(run(more), { code: 'ACCESS_DENIED' });
    emulator.setFaults([]);
    emulator.clearLog();
  };
  const gets = () => emulator.requests('GetSnapshotBlock').map(({ blockIndex }) => blockIndex);
  return { snapshotId, run, interrupt, gets };
}

function warningOf(events: ReturnType<typeof recorder>['events']): string {
  const warning = events.find((event) => event.type === 'warning' && event.code === 'JOURNAL_NOT_USED');
  return warning?.type === 'warning' ? warning.message : '';
}

test('a journal is created at the given path with mode 0600, and kept when requested', async (t) => {
  const directory = scratch(t);
  const checkpointFile = join(directory, 'sub', 'journal');
  const target = join(directory, 'disk.img');
  const { run, interrupt, gets } = await download(t, target, { checkpointFile });
  await interrupt();
  assert.deepEqual(readdirSync(directory).sort(), ['disk.img.partial', 'sub']);
  assert.equal(statSync(checkpointFile).mode & 0o777, 0o600);
  await run({ keepCheckpoint: true });
  assert.deepEqual(gets(), [32, 40, 48, 56]);
  assert.equal(await firstWrongBlock(target, blocks, GIB, BLOCK), undefined);
  assert.equal(statSync(checkpointFile).mode & 0o777, 0o600);
  assert.deepEqual(readdirSync(directory).sort(), ['disk.img', 'sub']);
});

test('an interrupted run without a journal keeps nothing, and the next fetches everything', async (t) => {
  const directory = scratch(t);
  const { run, interrupt, gets } = await download(t, join(directory, 'disk.img'), { checkpoint: false });
  await interrupt();
  assert.deepEqual(readdirSync(directory), []);
  await run();
  assert.equal(gets().length, COUNT);
  assert.deepEqual(readdirSync(directory), ['disk.img']);
});

for (const [when, second] of [
  ['is interrupted while it reads back what is there', 'verifying'],
  ['fails at its first block', 'denied'],
] as const)
  test(`a resume that ${when} loses nothing`, async (t) => {
    const target = join(scratch(t), 'disk.img');
    const { run, interrupt, gets } = await download(t, target, {});
    await interrupt();
    const before = readdirSync(dirname(target)).sort();
    const { events, onEvent: record } = recorder();
    if (second === 'denied') await interrupt({ onEvent: record });
    else {
      const controller = new AbortController();
      const onEvent = (event: TransferEvent) => {
        record(event);
        if (event.type === 'phase' && event.phase === second) controller.abort();
      };
      await assert.rejects(run({ onEvent, signal: controller.signal }), { class: 'aborted' });
    }
    assert.deepEqual(readdirSync(dirname(target)).sort(), before);
    const codes = events.flatMap((event) => (event.type === 'warning' ? [event.code] : []));
    assert.deepEqual(codes, ['DOWNLOAD_UNFINISHED']);
    await run();
    assert.deepEqual(gets(), [32, 40, 48, 56]);
    assert.equal(await firstWrongBlock(target, blocks, GIB, BLOCK), undefined);
  });

test('an interrupted run with fresh says that the command resumes without it', async (t) => {
  const target = join(scratch(t), 'disk.img');
  const { run, interrupt, gets } = await download(t, target, {});
  const { events, onEvent } = recorder();
  await interrupt({ fresh: true, onEvent });
  const warning = events.find((event) => event.type === 'warning' && event.code === 'DOWNLOAD_UNFINISHED');
  assert.match(
    warning?.type === 'warning' ? warning.message : '',
    /\. Run the same command again without "fresh" to resume;/,
  );
  await run();
  assert.deepEqual(gets(), [32, 40, 48, 56]);
});

test("the other tool's checkpoint proves nothing: everything is fetched, with a warning", async (t) => {
  const directory = scratch(t);
  const target = join(directory, 'disk.img');
  const { snapshotId, run, gets } = await download(t, target);
  const completed_blocks = [0, 8, 10 ** 9];
  writeFileSync(`${target}.coldsnap-progress`, JSON.stringify({ snapshot_id: snapshotId, completed_blocks }));
  const { events, onEvent } = recorder();
  await run({ onEvent });
  assert.match(warningOf(events), /a checkpoint of coldsnap 0\.12, which has no checksums\); starting over/);
  assert.deepEqual(gets(), indexes);
  assert.equal(await firstWrongBlock(target, blocks, GIB, BLOCK), undefined);
  assert.deepEqual(readdirSync(directory), ['disk.img']);
});

test("the other tool's checkpoint of another snapshot is ignored with a warning", async (t) => {
  const target = join(scratch(t), 'disk.img');
  const { run, gets } = await download(t, target);
  const completed_blocks = [0, 1, 2];
  writeFileSync(
    `${target}.coldsnap-progress`,
    JSON.stringify({ snapshot_id: 'snap-other', completed_blocks }),
  );
  const { events, onEvent } = recorder();
  await run({ onEvent });
  assert.match(warningOf(events), /a checkpoint of coldsnap 0\.12/);
  assert.equal(gets().length, COUNT);
});

test(
  'a download to a device resumes without --force, but not when its first block was written since',
  needsLoop,
  async (t) => {
    const place = await Scratch.for(t);
    const { device, backing } = await place.loop({ bytes: GIB });
    process.env.STATE_DIRECTORY = place.path('state');
    const { run, interrupt, gets } = await download(t, device);
    await interrupt();
    await interrupt();
    assert.equal(readdirSync(place.path('state')).length, 1);

    const disk = await open(device, 'r+');
    await disk.write(randomBytes(512), 0, 512, 0);
    await disk.sync();
    await disk.close();
    const { events, onEvent } = recorder();
    await assert.rejects(run({ onEvent }), { class: 'refused', code: 'TARGET_NOT_BLANK' });
    assert.match(warningOf(events), /its start or its end was written since/);
    assert.deepEqual(gets(), []);
    await run({ force: true });
    assert.equal(gets().length, COUNT);
    assert.equal(await firstWrongBlock(backing, blocks, GIB, BLOCK), undefined);
  },
);

interface Interrupted {
  readonly emulator: Emulator;
  readonly snapshotId: string;
  readonly service: { endpoint: string; region: string };
  readonly advanceClock: (ms: number) => void;
}

const changes: [what: string, change: (interrupted: Interrupted) => unknown, message: RegExp][] = [
  [
    'was deleted',
    ({ emulator, snapshotId }) => emulator.deleteSnapshot(snapshotId),
    /snapshot snap-\w+ no longer exists/,
  ],
  ['failed', ({ advanceClock }) => advanceClock(120_000), /snapshot snap-\w+ is in state "error"/],
  [
    'was completed by another client',
    async ({ service, snapshotId }) => {
      const client = new EBSClient(service);
      await client.send(new CompleteSnapshotCommand({ SnapshotId: snapshotId, ChangedBlocksCount: 4 }));
      client.destroy();
    },
    /snapshot snap-\w+ was completed before everything was put/,
  ],
];

for (const [what, change, message] of changes) {
  test(`an upload whose snapshot ${what} since the interruption warns and starts over`, async (t) => {
    let now = Date.now();
    const { emulator, service } = await startService(t, {
      blockSize: BLOCK,
      pendingTimeoutMs: 60_000,
      now: () => now,
    });
    const source = join(scratch(t), 'disk.img');
    const image = randomBytes(COUNT * BLOCK);
    writeFileSync(source, image);
    const upload = (more = {}) => uploadSnapshot({ source, workers: 1, ...service, ...more });
    deny(emulator, 'PutSnapshotBlock', 4);
    await assert.rejects(upload(), { code: 'ACCESS_DENIED' });
    emulator.setFaults([]);
    const journal = uploadJournal(source, emulator);
    const { snapshotId } = JSON.parse(readFileSync(journal, 'utf8')) as {
      snapshotId: string;
    };
    assert.equal(statSync(journal).mode & 0o777, 0o600);
    const advanceClock = (ms: number) => {
      now += ms;
    };
    await change({ emulator, snapshotId, service, advanceClock });
    const { events, onEvent } = recorder();
    const result = await upload({ onEvent });
    assert.match(warningOf(events), message);
    assert.notEqual(result.snapshotId, snapshotId);
    assert.ok(bytesAt(await emulator.readImage(result.snapshotId), 0, image.length).equals(image));
    assert.ok(!existsSync(journal));
  });
}

test('a resumable upload requests a timeout of three days, a stream of one', () => {
  const options = { source: 'disk.img', volumeSizeGiB: 1 };
  const token = { clientToken: 'x', marked: true };
  assert.equal(startRequest(options, { ...token, resumable: true }).timeoutMinutes, 3 * 24 * 60);
  assert.equal(startRequest(options, { ...token, resumable: false }).timeoutMinutes, 24 * 60);
});
