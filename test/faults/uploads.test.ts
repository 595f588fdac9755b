/** Uploads of one source: two concurrent ones, and one after another that was interrupted at a critical moment. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import {
  appendFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { exitCodeOf } from '../../src/cli/exit-codes.ts';
import type { EmulatorOptions, FaultAction, FaultRule } from '../../src/emulator/index.ts';
import {
  listPendingSnapshots,
  type TransferEvent,
  type UploadOptions,
  uploadSnapshot,
} from '../../src/index.ts';
import { bytesAt, recorder, scratch, startService, uploadJournal } from '../support/service.ts';

const BLOCK = 65_536;
const lostReply: FaultAction = { type: 'drop', executed: true };
const refused = (status: number, code: string): FaultAction => ({ type: 'error', status, code });

async function setUp(t: TestContext, options: EmulatorOptions = {}) {
  const { emulator, service } = await startService(t, { blockSize: BLOCK, ...options });
  const directory = scratch(t);
  const source = join(directory, 'disk.img');
  const image = randomBytes(16 * BLOCK);
  writeFileSync(source, image);
  const upload = (more: Partial<UploadOptions> = {}) => uploadSnapshot({ source, ...service, ...more });
  const assertComplete = async (snapshotId: string) => {
    assert.equal(emulator.snapshot(snapshotId)?.status, 'completed');
    assert.ok(bytesAt(await emulator.readImage(snapshotId), 0, image.length).equals(image));
  };
  return { emulator, service, directory, source, upload, assertComplete };
}

test('a second upload of a source that is being uploaded is refused before any request', async (t) => {
  const { emulator, directory, upload, assertComplete } = await setUp(t);
  // Throttles keep the first upload running until the faults are removed.
  const action = { type: 'error', status: 400, code: 'RequestThrottledException' } as const;
  emulator.setFaults([{ operation: 'PutSnapshotBlock', action }]);
  const first = upload();
  await emulator.waitForRequest((request) => request.operation === 'PutSnapshotBlock');
  const error = await upload().then(
    () => assert.fail('it was not refused'),
    (failure: unknown) => failure,
  );
  assert.equal((error as { code?: string }).code, 'SOURCE_BUSY');
  assert.equal(exitCodeOf(error), 3);
  emulator.setFaults([]);
  // With its own journal it is allowed.
  const { snapshotId: other } = await upload({ checkpointFile: join(directory, 'other') });
  const { snapshotId } = await first;
  assert.notEqual(snapshotId, other);
  await assertComplete(snapshotId);
  await assertComplete(other);
  assert.equal(emulator.requests('StartSnapshot').length, 2);
  assert.deepEqual(readdirSync(directory), ['disk.img']);
});

test('the lock of a killed upload is free, and a symbolic link in place of the lock is not followed', async (t) => {
  const { directory, emulator, source, upload, assertComplete } = await setUp(t);
  const lock = `${uploadJournal(source, emulator)}.lock`;
  writeFileSync(lock, '');
  await assertComplete((await upload()).snapshotId);
  assert.deepEqual(readdirSync(directory), ['disk.img']);
  symlinkSync(join(directory, 'elsewhere'), lock);
  await assertComplete((await upload()).snapshotId);
  assert.deepEqual(readdirSync(directory).sort(), ['disk.img', basename(lock)]);
});

test('an upload that cannot create its lock continues without it and warns', async (t) => {
  const { directory, upload, assertComplete } = await setUp(t);
  const { events, onEvent } = recorder();
  const parent = join(directory, 'nowhere');
  mkdirSync(join(parent, 'journal.coldsnap-lock'), { recursive: true });
  const { snapshotId } = await upload({ checkpointFile: join(parent, 'journal'), onEvent });
  await assertComplete(snapshotId);
  assert.ok(events.some((event) => event.type === 'warning' && event.code === 'JOURNAL_NOT_LOCKED'));
});

test('an upload whose journal could not be written does not claim to be resumable', async (t) => {
  const { emulator, directory, upload } = await setUp(t);
  emulator.setFaults([
    {
      operation: 'PutSnapshotBlock',
      block: 3,
      action: { type: 'error', status: 403, code: 'AccessDeniedException' },
    },
  ]);
  const { events, onEvent } = recorder();
  const checkpointFile = join(directory, 'disk.img', 'journal');
  await assert.rejects(upload({ checkpointFile, onEvent }), { code: 'ACCESS_DENIED' });
  const warning = events.find((event) => event.type === 'warning' && event.code === 'SNAPSHOT_LEFT');
  assert.match(
    warning?.type === 'warning' ? warning.message : '',
    /cannot be resumed; "coldsnap pending" lists it and can delete it/,
  );
});

test('a run after one that was interrupted during completion puts nothing, and waits for the completion', async (t) => {
  // The second run finds the snapshot pending: it is completed by the second request for its state.
  let now = Date.now();
  const { emulator, upload, assertComplete } = await setUp(t, {
    completionDelayMs: 1_000,
    now: () => now,
    onRequest: ({ operation }) => {
      if (operation === 'DescribeSnapshots') now += 1_000;
    },
  });
  emulator.setFaults([{ operation: 'CompleteSnapshot', action: { type: 'drop', executed: true } }]);
  await assert.rejects(upload({ retryForMs: 0 }), { class: 'gave-up' });
  emulator.setFaults([]);
  emulator.clearLog();
  const { snapshotId, status } = await upload();
  assert.equal(status, 'completed');
  await assertComplete(snapshotId);
  assert.equal(emulator.requests('PutSnapshotBlock').length, 0);
});

test('a completion whose reply was lost is found out by the next run, where EC2 may not be asked', async (t) => {
  const { emulator, upload, assertComplete } = await setUp(t);
  const denied = refused(403, 'UnauthorizedOperation');
  emulator.setFaults([
    { operation: 'CompleteSnapshot', first: 1, action: lostReply },
    { operation: 'DescribeSnapshots', action: denied },
  ]);
  const error = await upload().catch((failure: unknown) => failure);
  assert.equal((error as { code?: string }).code, 'COMPLETION_UNKNOWN');
  assert.equal(exitCodeOf(error), 5);
  emulator.clearLog();
  const { snapshotId } = await upload();
  assert.equal((error as { snapshotId?: string }).snapshotId, snapshotId);
  await assertComplete(snapshotId);
  assert.deepEqual(emulator.requests('PutSnapshotBlock'), []);
});

test('a run that was stopped before it repeated the completion still counts everything as put', async (t) => {
  let now = Date.now();
  const { emulator, upload, assertComplete } = await setUp(t, { completionDelayMs: 1_000, now: () => now });
  emulator.setFaults([{ operation: 'CompleteSnapshot', action: { type: 'drop', executed: true } }]);
  const first = await upload({ retryForMs: 0 }).catch((error) => error);
  emulator.setFaults([]);
  emulator.clearLog();
  const controller = new AbortController();
  const onEvent = ({ type }: TransferEvent) => type === 'start' && controller.abort();
  await assert.rejects(upload({ onEvent, signal: controller.signal }), { code: 'ABORTED' });
  now += 1_000;
  const { snapshotId } = await upload();
  assert.equal(snapshotId, first.snapshotId);
  await assertComplete(snapshotId);
  assert.equal(emulator.requests('PutSnapshotBlock').length, 0);
});

test('an upload whose snapshot was deleted meanwhile is not resumed, though its token still answers', async (t) => {
  const { emulator, directory, upload, assertComplete } = await setUp(t);
  const refusal = { type: 'error', status: 403, code: 'AccessDeniedException' } as const;
  const gone = {
    type: 'error',
    status: 404,
    code: 'ResourceNotFoundException',
    reason: 'SNAPSHOT_NOT_FOUND',
  } as const;
  for (const operation of ['PutSnapshotBlock', 'CompleteSnapshot'] as const) {
    emulator.setFaults([{ operation: 'PutSnapshotBlock', block: 3, action: refusal }]);
    const first = await upload().catch((error) => error);
    const unknown = { type: 'error', status: 400, code: 'InvalidSnapshot.NotFound' } as const;
    emulator.setFaults([
      { operation, action: gone },
      { operation: 'DescribeSnapshots', action: unknown },
    ]);
    const { events, onEvent } = recorder();
    // Without retries: a new snapshot may be invisible to a put for two minutes.
    await assert.rejects(upload({ retryForMs: 0, onEvent }), {
      code: 'SNAPSHOT_NOT_FOUND',
      message: `snapshot ${first.snapshotId} does not exist`,
      hint: /starts a new snapshot/,
    });
    const warnings = events.filter((event) => event.type === 'warning');
    assert.deepEqual(warnings, []);
    assert.deepEqual(readdirSync(directory), ['disk.img']);
    emulator.setFaults([]);
    const { snapshotId } = await upload();
    assert.notEqual(snapshotId, first.snapshotId);
    await assertComplete(snapshotId);
  }
  assert.equal(emulator.requests('DeleteSnapshot').length, 0);
});

test('a failed snapshot whose ID was never received is not resumed', async (t) => {
  let now = Date.now();
  const { emulator, upload, assertComplete } = await setUp(t, { now: () => now, pendingTimeoutMs: 60_000 });
  emulator.setFaults([{ operation: 'StartSnapshot', action: { type: 'drop', executed: true } }]);
  await assert.rejects(upload({ retryForMs: 0 }), { class: 'gave-up' });
  emulator.setFaults([]);
  now += 120_000;
  const { events, onEvent } = recorder();
  const { snapshotId } = await upload({ onEvent });
  await assertComplete(snapshotId);
  const warning = events.find((event) => event.type === 'warning' && event.code === 'JOURNAL_NOT_USED');
  assert.match(warning?.type === 'warning' ? warning.message : '', /snap-\w+ is in state "error"/);
});

const sizes: Record<string, { resize: (source: string) => void; whole: boolean; resumes: boolean }> = {
  'was cut': { resize: (source) => truncateSync(source, 16 * BLOCK), whole: true, resumes: false },
  'has grown': {
    resize: (source) => appendFileSync(source, randomBytes(BLOCK)),
    whole: true,
    resumes: false,
  },
  'has grown past what was put': {
    resize: (source) => appendFileSync(source, randomBytes(BLOCK)),
    whole: false,
    resumes: true,
  },
  'has grown by zeros': { resize: (source) => truncateSync(source, 64 * BLOCK), whole: true, resumes: true },
};

for (const [what, { resize, whole, resumes }] of Object.entries(sizes)) {
  for (const kind of ['full', 'incremental'] as const) {
    test(`a snapshot of a source that ${what} since has nothing of what it was (${kind})`, async (t) => {
      const { emulator, directory, source, upload } = await setUp(t);
      const parentSnapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: new Map() });
      // More than one chunk of digests.
      appendFileSync(source, randomBytes(24 * BLOCK));
      const saveDigests = join(directory, 'digests');
      const options = kind === 'full' ? {} : { incremental: true, parentSnapshotId, saveDigests };
      const refusal = refused(403, 'AccessDeniedException');
      const put = { operation: 'PutSnapshotBlock', nth: 9, action: refusal } as const;
      emulator.setFaults([whole ? { operation: 'CompleteSnapshot', action: refusal } : put]);
      const failed = await upload({ workers: 1, ...options }).catch(
        (error: { snapshotId?: string }) => error,
      );
      emulator.setFaults([]);
      resize(source);
      const { snapshotId } = await upload(options);
      assert.equal(snapshotId === failed.snapshotId, resumes);
      const expected = Buffer.alloc(64 * BLOCK);
      readFileSync(source).copy(expected);
      assert.ok(bytesAt(await emulator.readImage(snapshotId), 0, expected.length).equals(expected));
      if (kind === 'full') return;
      // The digests are the same snapshot's: by them nothing differs.
      emulator.clearLog();
      const base = { parentSnapshotId: snapshotId, base: saveDigests };
      await upload({ ...options, ...base });
      assert.equal(emulator.requests('PutSnapshotBlock').length, 0);
    });
  }
}

test('an upload with fresh names the snapshot that the run before started', async (t) => {
  const { emulator, upload } = await setUp(t);
  emulator.setFaults([
    {
      operation: 'PutSnapshotBlock',
      block: 3,
      action: { type: 'error', status: 403, code: 'AccessDeniedException' },
    },
  ]);
  const failed = await upload().catch((error: { snapshotId?: string }) => error);
  emulator.setFaults([]);
  const { events, onEvent } = recorder();
  const { snapshotId } = await upload({ fresh: true, onEvent });
  assert.notEqual(snapshotId, failed.snapshotId);
  const warning = events.find((event) => event.type === 'warning');
  assert.match(
    warning?.type === 'warning' ? warning.message : '',
    new RegExp(`${failed.snapshotId} still exists`),
  );
});

const startFaults = (repetition: FaultAction): FaultRule[] => [
  { operation: 'StartSnapshot', first: 1, action: lostReply },
  { operation: 'StartSnapshot', nth: 2, action: repetition },
];

const warnings = (events: readonly TransferEvent[]) =>
  events.flatMap((event) => (event.type === 'warning' ? [event.code] : []));

test('a snapshot whose ID was never received is resumed, even if its repeated start was refused', async (t) => {
  const { emulator, service, upload, assertComplete } = await setUp(t);
  emulator.setFaults(startFaults(refused(400, 'ValidationException')));
  const { events, onEvent } = recorder();
  await assert.rejects(upload({ onEvent }), { class: 'permanent' });
  assert.deepEqual(warnings(events), ['SNAPSHOT_MAYBE_LEFT']);
  emulator.setFaults([]);
  const { snapshotId } = await upload();
  await assertComplete(snapshotId);
  assert.deepEqual(await listPendingSnapshots(service), []);
});

test('an upload that falls back to no tags warns that a tagged snapshot may exist', async (t) => {
  const { emulator, upload, assertComplete } = await setUp(t);
  emulator.setFaults(startFaults(refused(403, 'AccessDeniedException')));
  const { events, onEvent } = recorder();
  await assertComplete((await upload({ onEvent })).snapshotId);
  assert.deepEqual(warnings(events), ['SNAPSHOT_MAYBE_LEFT']);
});

const refusedStarts: Record<string, { more: Partial<UploadOptions>; actions: FaultAction[] }> = {
  'with other options': { more: { kmsKeyId: 'alias/none', encrypted: true }, actions: [] },
  'that starts over': { more: { fresh: true }, actions: [refused(402, 'ServiceQuotaExceededException')] },
  'that may not tag': {
    more: { tags: [{ key: 'Name', value: 'web' }] },
    actions: [refused(403, 'AccessDeniedException')],
  },
  'with the same options': {
    more: {},
    actions: [refused(402, 'ServiceQuotaExceededException'), refused(402, 'ServiceQuotaExceededException')],
  },
};

for (const [what, { more, actions }] of Object.entries(refusedStarts)) {
  test(`an upload ${what} whose start is refused keeps the journal of the one before`, async (t) => {
    const { emulator, upload, assertComplete } = await setUp(t);
    emulator.setFaults([
      { operation: 'PutSnapshotBlock', nth: 9, action: refused(403, 'AccessDeniedException') },
    ]);
    const failed = await upload({ workers: 1 }).catch((error: { snapshotId?: string }) => error);
    emulator.setFaults(actions.map((action, at) => ({ operation: 'StartSnapshot', nth: at + 1, action })));
    await assert.rejects(upload(more));
    emulator.setFaults([]);
    emulator.clearLog();
    const { snapshotId } = await upload();
    assert.equal(snapshotId, failed.snapshotId);
    assert.equal(emulator.requests('PutSnapshotBlock').length, 8);
    await assertComplete(snapshotId);
  });
}
