/** Wherever a transfer hangs, the watchdog names what it waits for, and an abort ends it. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { EBSClient } from '@aws-sdk/client-ebs';
import { downloadSnapshot, uploadSnapshot } from '../../src/index.ts';
import { Watchdog } from '../../src/transfer/run/watchdog.ts';
import { randomBlocks, scratch, startService } from '../support/service.ts';
import { until } from '../support/until.ts';

const BLOCK = 4096;

/** Collects the activities that the watchdogs report as unfinished, and counts all that were started. */
function trackActivities(t: TestContext): { waiting: () => string[]; started: () => number } {
  const activities = new Map<number | string, string>();
  let count = 0;
  const { doing, done } = Watchdog.prototype;
  t.mock.method(Watchdog.prototype, 'doing', function (this: Watchdog, ...args: Parameters<typeof doing>) {
    const [who, activity, , block] = args;
    activities.set(who, block === undefined ? activity : `block ${block} ${activity}`);
    count++;
    doing.apply(this, args);
  });
  t.mock.method(Watchdog.prototype, 'done', function (this: Watchdog, ...args: Parameters<typeof done>) {
    activities.delete(args[0]);
    done.apply(this, args);
  });
  return { waiting: () => [...activities.values()], started: () => count };
}

const stalls: [what: string, operation: string | undefined, nth: number, upload: boolean, name: RegExp][] = [
  ['the credentials', undefined, 1, false, /^region and credentials$/],
  ['the credentials of an upload', undefined, 1, true, /^region and credentials$/],
  ['the first page of the list', 'ListSnapshotBlocks', 1, false, /^the list of snap-/],
  ['a later page of the list', 'ListSnapshotBlocks', 2, false, /^the list of snap-/],
  ['a block', 'GetSnapshotBlock', 2, false, /^block \d from the service$/],
  ['the start of a snapshot', 'StartSnapshot', 1, true, /^the snapshot to be started$/],
  ['a put', 'PutSnapshotBlock', 2, true, /^block \d to be written to the service$/],
  ['the completion', 'CompleteSnapshot', 1, true, /^the snapshot to be completed$/],
];

for (const [what, operation, nth, upload, name] of stalls) {
  test(`a transfer that waits for ${what} reports it, and an abort ends it without another request`, async (t) => {
    const { emulator, service } = await startService(t, { blockSize: BLOCK, pageSize: 3 });
    const { waiting, started } = trackActivities(t);
    const stop = new AbortController();
    const { signal } = stop;
    const credentials = () => new Promise<never>(() => {});
    const ebsClient =
      operation === undefined ? { ebsClient: new EBSClient({ ...service, credentials }) } : {};
    if (operation !== undefined) emulator.setFaults([{ operation, nth, action: { type: 'stall' } }]);
    const path = join(scratch(t), 'disk.img');
    // A stall that is not aborted must not end by a deadline of its own.
    const deadlines = { connectMs: 3_600_000, idleMs: 3_600_000 };
    const options = { ...service, ...ebsClient, workers: 2, deadlines, signal };
    let run: Promise<unknown>;
    if (upload) {
      writeFileSync(path, randomBytes(4 * BLOCK));
      run = uploadSnapshot({ source: path, ...options });
    } else {
      const blocks = randomBlocks([0, 1, 2, 5, 6, 7], [], BLOCK);
      const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
      run = downloadSnapshot({ snapshotId, target: path, ...options });
    }
    const ended = assert.rejects(run, { class: 'aborted' });
    if (operation !== undefined) {
      await emulator.waitForRequest((request) => request.operation === operation, nth);
    }
    // Wait until only the stalled activity remains.
    await until(() => waiting().length > 0 && waiting().every((activity) => name.test(activity)));
    const before = started();
    const stalled = () => emulator.log.filter(({ fault }) => fault !== undefined).length;
    stop.abort();
    await ended;
    assert.equal(started(), before, 'something was started after the abort');
    assert.equal(stalled(), operation === undefined ? 0 : 1, 'the stalled request was repeated');
  });
}
