import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EC2Client } from '@aws-sdk/client-ec2';
import { deletePendingSnapshots, listPendingSnapshots, listSnapshots } from '../../src/index.ts';
import { startService } from '../support/service.ts';

test('lists every snapshot of the account, oldest first, with its tags', async (t) => {
  let now = Date.now() - 60_000;
  const { emulator, service } = await startService(t, { now: () => now++ });
  const first = await emulator.putSnapshot({
    volumeSizeGiB: 8,
    blocks: {},
    description: 'disk.img',
    tags: { Name: 'web' },
  });
  const second = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: {}, status: 'pending' });
  const [older, newer, ...more] = await listSnapshots(service);
  assert.deepEqual(more, []);
  assert.ok(older?.startTime instanceof Date);
  const { startTime: _, ...rest } = older;
  assert.deepEqual(rest, {
    snapshotId: first,
    status: 'completed',
    progressPercent: 100,
    volumeSizeGiB: 8,
    encrypted: false,
    description: 'disk.img',
    tags: { Name: 'web' },
  });
  assert.deepEqual([newer?.snapshotId, newer?.status], [second, 'pending']);
});

test('lists only snapshots with all of the tags, with wildcards, and with any value where none is given', async (t) => {
  const { emulator, service } = await startService(t);
  const put = (tags: Record<string, string>) => emulator.putSnapshot({ volumeSizeGiB: 1, blocks: {}, tags });
  const web1 = await put({ Name: 'web1', team: 'a' });
  const web2 = await put({ Name: 'web2' });
  await put({ Name: 'db' });
  await put({});
  const ids = async (...tags: { key: string; value?: string }[]) =>
    (await listSnapshots({ ...service, tags })).map(({ snapshotId }) => snapshotId).sort();
  assert.deepEqual(await ids({ key: 'Name', value: 'web*' }), [web1, web2].sort());
  assert.deepEqual(await ids({ key: 'Name', value: 'web*' }, { key: 'team' }), [web1]);
  assert.deepEqual(await ids({ key: 'Name', value: 'none' }), []);
});

test('rejects when the caller stops it', async (t) => {
  const { service } = await startService(t);
  await assert.rejects(listSnapshots({ ...service, signal: AbortSignal.abort() }), { class: 'aborted' });
});

test('nothing keeps the process alive after an abort while credentials never come', async () => {
  const timers = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
  for (const call of [listSnapshots, listPendingSnapshots, deletePendingSnapshots]) {
    const controller = new AbortController();
    const credentials = () => {
      controller.abort();
      return new Promise<never>(() => {});
    };
    const ec2Client = new EC2Client({ region: 'us-east-1', credentials });
    const before = timers();
    await assert.rejects(call({ ec2Client, signal: controller.signal }), { class: 'aborted' });
    assert.equal(timers(), before, call.name);
  }
});
