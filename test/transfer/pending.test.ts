import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { CompleteSnapshotCommand, EBSClient } from '@aws-sdk/client-ebs';
import type { EmulatorOptions, PutSnapshotOptions } from '../../src/emulator/index.ts';
import { JournalLock } from '../../src/transfer/journal/lock.ts';
import { deletePendingSnapshots, listPendingSnapshots } from '../../src/transfer/pending.ts';
import { recorder, scratch, startService } from '../support/service.ts';

const marked = { 'coldsnap:upload': 'true' };
const absent = 'snap-0123456789abcdef0';

/** An emulator, and a state directory for this test alone. */
async function start(t: TestContext, options: EmulatorOptions = {}) {
  const { emulator, service } = await startService(t, options);
  const directory = scratch(t);
  process.env.STATE_DIRECTORY = directory;
  const put = (snapshot: Partial<PutSnapshotOptions>) =>
    emulator.putSnapshot({ volumeSizeGiB: 1, blocks: {}, status: 'pending', ...snapshot });
  /** Leaves the journal of an upload, last saved this many minutes ago. */
  const journal = (snapshotId: string, minutes: number): string => {
    const path = join(directory, `${snapshotId}.coldsnap-upload`);
    writeFileSync(path, JSON.stringify({ version: 1, kind: 'upload', snapshotId }));
    const then = Date.now() / 1000 - minutes * 60;
    utimesSync(path, then, then);
    return path;
  };
  return { emulator, service, directory, put, journal };
}

const ids = (snapshots: readonly { snapshotId: string }[]) => snapshots.map(({ snapshotId }) => snapshotId);

test('lists tagged snapshots in state pending or error, oldest first, with their details', async (t) => {
  let now = Date.now() - 60_000;
  const { service, put } = await start(t, { now: () => now++ });
  const first = await put({ tags: marked, description: 'disk.img', volumeSizeGiB: 8 });
  await put({ tags: marked, status: 'completed' });
  await put({ tags: { other: 'true' } });
  const second = await put({ tags: marked, status: 'error' });
  const [pending, failed, ...more] = await listPendingSnapshots(service);
  assert.deepEqual(more, []);
  assert.ok(pending?.startTime instanceof Date && failed !== undefined);
  const { startTime: _, ...rest } = pending;
  assert.deepEqual(rest, {
    snapshotId: first,
    status: 'pending',
    progressPercent: 0,
    volumeSizeGiB: 8,
    description: 'disk.img',
    abandoned: false,
  });
  assert.deepEqual([failed.snapshotId, failed.status, failed.abandoned], [second, 'error', true]);
});

test('finds an untagged snapshot by its journal in the state directory', async (t) => {
  const { service, put, journal } = await start(t);
  const unmarked = await put({});
  const path = journal(unmarked, 0);
  journal(await put({ status: 'completed' }), 0);
  journal(absent, 0);
  const [found, ...more] = await listPendingSnapshots(service);
  assert.deepEqual(more, []);
  assert.deepEqual([found?.snapshotId, found?.journal, found?.abandoned], [unmarked, path, false]);
});

test('counts a pending snapshot as abandoned when its journal has been idle for an hour', async (t) => {
  const { service, put, journal } = await start(t);
  const idle = await put({ tags: marked });
  journal(idle, 61);
  const recent = await put({ tags: marked });
  journal(recent, 59);
  const found = await listPendingSnapshots(service);
  const abandoned = found.filter((snapshot) => snapshot.abandoned);
  assert.deepEqual(ids(abandoned), [idle]);
  assert.equal(found.length, 2);
});

test('ignores everything but upload journals: links, directories, other files, invalid IDs', async (t) => {
  const { emulator, service, directory, put, journal } = await start(t);
  const elsewhere = scratch(t);
  const real = await put({});
  writeFileSync(join(elsewhere, 'j'), JSON.stringify({ kind: 'upload', snapshotId: real }));
  symlinkSync(join(elsewhere, 'j'), join(directory, 'a.coldsnap-upload'));
  symlinkSync(elsewhere, join(directory, 'b.coldsnap-upload'));
  for (const [name, content] of [
    ['c.coldsnap-upload', 'not JSON'],
    ['d.coldsnap-upload', 'null'],
    ['e.coldsnap-upload', JSON.stringify({ kind: 'download', snapshotId: real })],
    ['f.coldsnap-upload', JSON.stringify({ kind: 'upload', snapshotId: '../../x' })],
    ['g.coldsnap-progress', JSON.stringify({ kind: 'upload', snapshotId: real })],
  ] as const) {
    writeFileSync(join(directory, name), content);
  }
  journal(absent, 0);
  assert.deepEqual(await listPendingSnapshots(service), []);
  assert.deepEqual(
    emulator.log.map(({ snapshotId }) => snapshotId),
    [undefined, absent],
  );
});

test('searches by tag alone, without a warning, when there is no state directory', async (t) => {
  const { service, directory, put } = await start(t);
  process.env.STATE_DIRECTORY = join(directory, 'none');
  const snapshotId = await put({ tags: marked });
  const { events, onEvent } = recorder();
  assert.deepEqual(ids(await listPendingSnapshots({ ...service, onEvent })), [snapshotId]);
  assert.deepEqual(events, []);
});

test('warns of an unreadable state directory', async (t) => {
  const { service, directory, put } = await start(t);
  process.env.STATE_DIRECTORY = join(directory, 'file');
  writeFileSync(join(directory, 'file'), '');
  const snapshotId = await put({ tags: marked });
  const { events, onEvent } = recorder();
  assert.deepEqual(ids(await listPendingSnapshots({ ...service, onEvent })), [snapshotId]);
  assert.deepEqual(
    events.map((event) => event.type === 'warning' && event.code),
    ['JOURNALS_NOT_READ'],
  );
});

test('deletes abandoned snapshots with their journals and keeps those that may be in progress', async (t) => {
  const { emulator, service, put, journal } = await start(t);
  const failed = await put({ tags: marked, status: 'error' });
  const idle = await put({ tags: marked });
  const journalOfIdle = journal(idle, 120);
  const running = await put({ tags: marked });
  const journalOfRunning = journal(running, 1);
  const elsewhere = await put({ tags: marked });
  const completed = await put({ tags: marked, status: 'completed' });
  const { deleted, kept } = await deletePendingSnapshots(service);
  assert.deepEqual(ids(deleted).sort(), [failed, idle].sort());
  assert.deepEqual(ids(kept).sort(), [running, elsewhere].sort());
  assert.equal(emulator.snapshot(failed), undefined);
  assert.equal(emulator.snapshot(idle), undefined);
  assert.equal(existsSync(journalOfIdle), false);
  for (const id of [running, elsewhere, completed]) assert.ok(emulator.snapshot(id));
  assert.ok(existsSync(journalOfRunning));
});

test('deletes every pending snapshot with force, and no completed one', async (t) => {
  const { emulator, service, put } = await start(t);
  const running = await put({ tags: marked });
  const completed = await put({ tags: marked, status: 'completed' });
  const { deleted, kept } = await deletePendingSnapshots({ ...service, force: true });
  assert.deepEqual([ids(deleted), kept], [[running], []]);
  assert.ok(emulator.snapshot(completed));
});

test('deletes only the named snapshot', async (t) => {
  const { emulator, service, put } = await start(t);
  const wanted = await put({ tags: marked });
  const failed = await put({ tags: marked, status: 'error' });
  const { deleted, kept } = await deletePendingSnapshots({ ...service, snapshotIds: [wanted] });
  assert.deepEqual([ids(deleted), kept], [[wanted], []]);
  assert.ok(emulator.snapshot(failed));
});

test('refuses a named snapshot that is completed, unknown or not from this tool, and deletes nothing', async (t) => {
  const { emulator, service, put } = await start(t);
  const pending = await put({ tags: marked });
  const others = [await put({ tags: marked, status: 'completed' }), await put({}), absent];
  for (const other of others) {
    await assert.rejects(deletePendingSnapshots({ ...service, snapshotIds: [pending, other] }), {
      class: 'refused',
      code: 'NOT_A_PENDING_UPLOAD',
      snapshotId: other,
    });
  }
  assert.equal(emulator.requests('DeleteSnapshot').length, 0);
});

test('keeps a snapshot that completes after it was listed', async (t) => {
  let now = Date.now();
  const { emulator, service, put } = await start(t, { now: () => now, completionDelayMs: 1_000 });
  const finishing = await put({ tags: marked });
  const ebs = new EBSClient(service);
  t.after(() => ebs.destroy());
  await ebs.send(new CompleteSnapshotCommand({ SnapshotId: finishing, ChangedBlocksCount: 0 }));
  const found = emulator.waitForRequest(
    ({ operation, status }) => operation === 'DescribeSnapshots' && status === 200,
  );
  const deleting = deletePendingSnapshots({ ...service, force: true });
  await found;
  now += 2_000;
  const { deleted, kept } = await deleting;
  assert.deepEqual([deleted, ids(kept)], [[], [finishing]]);
  assert.equal(emulator.snapshot(finishing)?.status, 'completed');
});

test('keeps a snapshot that an upload resumes while others are deleted', async (t) => {
  let now = Date.now() - 60_000;
  const faults = [{ operation: 'DeleteSnapshot', action: { type: 'delay', ms: 500 } }] as const;
  const { emulator, service, put, journal } = await start(t, { now: () => now++, faults });
  const first = await put({ tags: marked });
  journal(first, 120);
  const resumed = await put({ tags: marked });
  const journalOfResumed = journal(resumed, 120);
  const begun = emulator.waitForRequest(
    ({ operation, snapshotId }) => operation === 'DescribeSnapshots' && snapshotId === first,
  );
  const deleting = deletePendingSnapshots(service);
  await begun;
  const lock = await JournalLock.take(journalOfResumed);
  assert.ok(lock);
  const { deleted, kept } = await deleting;
  assert.deepEqual([ids(deleted), ids(kept)], [[first], [resumed]]);
  assert.ok(emulator.snapshot(resumed) && existsSync(journalOfResumed));
  await lock.release();
});

test('no upload resumes a snapshot while it is deleted', async (t) => {
  const faults = [{ operation: 'DeleteSnapshot', action: { type: 'delay', ms: 500 } }] as const;
  const { emulator, service, directory, put, journal } = await start(t, { faults });
  const snapshotId = await put({ tags: marked });
  const path = journal(snapshotId, 120);
  const begun = emulator.waitForRequest(
    ({ operation, snapshotId: id }) => operation === 'DescribeSnapshots' && id === snapshotId,
  );
  const deleting = deletePendingSnapshots(service);
  await begun;
  assert.equal(await JournalLock.take(path), undefined);
  assert.deepEqual(ids((await deleting).deleted), [snapshotId]);
  assert.deepEqual(readdirSync(directory), []);
});

test('counts a snapshot that no longer exists as deleted', async (t) => {
  const gone = { type: 'error', status: 400, code: 'InvalidSnapshot.NotFound' } as const;
  const { service, put } = await start(t, { faults: [{ operation: 'DeleteSnapshot', action: gone }] });
  const snapshotId = await put({ tags: marked, status: 'error' });
  assert.deepEqual(ids((await deletePendingSnapshots(service)).deleted), [snapshotId]);
});

test('warns of a journal that cannot be removed', async (t) => {
  const { service, put, journal } = await start(t);
  const snapshotId = await put({ tags: marked });
  mkdirSync(`${journal(snapshotId, 120)}.new`);
  const { events, onEvent } = recorder();
  assert.deepEqual(ids((await deletePendingSnapshots({ ...service, onEvent })).deleted), [snapshotId]);
  assert.deepEqual(
    events.map((event) => event.type === 'warning' && event.code),
    ['JOURNAL_NOT_REMOVED'],
  );
});

test('names the IAM action when deleting is denied', async (t) => {
  const denied = { type: 'error', status: 403, code: 'UnauthorizedOperation' } as const;
  const { service, put } = await start(t, { faults: [{ operation: 'DeleteSnapshot', action: denied }] });
  const snapshotId = await put({ tags: marked, status: 'error' });
  await assert.rejects(deletePendingSnapshots(service), { snapshotId, hint: /ec2:DeleteSnapshot/ });
});

test('names what was deleted before a deletion failed', async (t) => {
  const { emulator, service, put } = await start(t);
  const [first, second] = [await put({ tags: marked }), await put({ tags: marked })];
  const action = { type: 'error', status: 403, code: 'UnauthorizedOperation' } as const;
  emulator.setFaults([{ operation: 'DeleteSnapshot', snapshotId: second, action }]);
  const { events, onEvent } = recorder();
  const snapshotIds = [first, first, second];
  await assert.rejects(deletePendingSnapshots({ ...service, snapshotIds, onEvent }), {
    code: 'ACCESS_DENIED',
  });
  const warnings = events.flatMap((event) => (event.type === 'warning' ? [event.message] : []));
  assert.deepEqual(warnings, [`Snapshot ${first} was deleted.`]);
  assert.deepEqual(ids(await listPendingSnapshots(service)), [second]);
});

test('makes no request after an early abort', async (t) => {
  const { emulator, service } = await start(t);
  await assert.rejects(listPendingSnapshots({ ...service, signal: AbortSignal.abort() }), {
    class: 'aborted',
  });
  assert.equal(emulator.log.length, 0);
});

test('a held lock means a running upload: it is deleted only when named and with force', async (t) => {
  const { emulator, service, put, journal } = await start(t);
  const snapshotId = await put({ tags: marked, status: 'error' });
  const path = journal(snapshotId, 600);
  const lock = await JournalLock.take(path);
  assert.ok(lock !== undefined);
  assert.deepEqual(
    (await listPendingSnapshots(service)).map(({ abandoned }) => abandoned),
    [false],
  );
  for (const options of [{}, { force: true }]) {
    const { deleted, kept } = await deletePendingSnapshots({ ...service, ...options });
    assert.deepEqual([deleted, ids(kept)], [[], [snapshotId]]);
  }
  await assert.rejects(deletePendingSnapshots({ ...service, snapshotIds: [snapshotId] }), {
    code: 'UPLOAD_RUNNING',
    class: 'refused',
  });
  assert.ok(emulator.snapshot(snapshotId) && existsSync(path));
  const named = await deletePendingSnapshots({ ...service, snapshotIds: [snapshotId], force: true });
  assert.deepEqual(ids(named.deleted), [snapshotId]);
  await lock.release();

  const killed = await put({ tags: marked });
  writeFileSync(`${journal(killed, 600)}.lock`, '');
  assert.deepEqual(ids((await deletePendingSnapshots(service)).deleted), [killed]);
});

test('a dry run names what would be deleted, and keeps snapshots and journals', async (t) => {
  const { emulator, service, put, journal } = await start(t);
  const failed = await put({ tags: marked, status: 'error' });
  const idle = await put({ tags: marked });
  const running = await put({ tags: marked });
  const path = journal(idle, 90);
  const { deleted, kept } = await deletePendingSnapshots({ ...service, dryRun: true });
  assert.deepEqual(ids(deleted).sort(), [failed, idle].sort());
  assert.deepEqual(ids(kept), [running]);
  assert.ok(existsSync(path));
  for (const id of [failed, idle, running]) assert.notEqual(emulator.snapshot(id), undefined);
  assert.deepEqual(emulator.requests('DeleteSnapshot'), []);
});
