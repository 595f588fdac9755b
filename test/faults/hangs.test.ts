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

const BLOCK = 4096;

/** Collects the activities that the watchdogs report as unfinished. */
function trackActivities(t: TestContext): () => string[] {
  const activities = new Map<number | string, string>();
  const { doing, done } = Watchdog.prototype;
  t.mock.method(Watchdog.prototype, 'doing', function (this: Watchdog, ...args: Parameters<typeof doing>) {
    activities.set(args[0], args[1]);
    doing.apply(this, args);
  });
  t.mock.method(Watchdog.prototype, 'done', function (this: Watchdog, ...args: Parameters<typeof done>) {
    activities.delete(args[0]);
    done.apply(this, args);
  });
  return () => [...activities.values()];
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

const stalls: [what: string, operation: string | undefined, nth: number, upload: boolean, name: RegExp][] = [
  ['the credentials', undefined, 1, false, /^region and credentials$/],
  ['the credentials of an upload', undefined, 1, true, /^region and credentials$/],
  ['the first page of the list', 'ListSnapshotBlocks', 1, false, /^the list of snap-/],
  ['a later page of the list', 'ListSnapshotBlocks', 2, false, /^the list of snap-/],
  ['a block', 'GetSnapshotBlock', 2, false, /^block \d from the service$/],
  ['the start of a snapshot', 'StartSnapshot', 1, true, /^the snapshot to be started$/],
  ['a put', 'PutSnapshotBlock', 2, true, /^block \d to be stored by the service$/],
  ['the completion', 'CompleteSnapshot', 1, true, /^the snapshot to be completed$/],
];

for (const [what, operation, nth, upload, name] of stalls) {
  test(`a transfer that waits for ${what} reports it, and an abort ends it without another request`, async (t) => {
    const { emulator, service } = await startService(t, { blockSize: BLOCK, pageSize: 3 });
    const waiting = trackActivities(t);
    const stop = new AbortController();
    const { signal } = stop;
    const credentials = () => new Promise<never>(() => {});
    const ebsClient =
      operation === undefined ? { ebsClient: new EBSClient({ ...service, credentials }) } : {};
    if (operation !== undefined) emulator.setFaults([{ operation, nth, action: { type: 'stall' } }]);
    const path = join(scratch(t), 'disk.img');
    const options = { ...service, ...ebsClient, workers: 2, signal };
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
    const began = performance.now();
    const requests = emulator.log.length;
    stop.abort();
    await ended;
    assert.ok(performance.now() - began < 2_000);
    assert.equal(emulator.log.length, requests, 'nothing is requested after the abort');
  });
}
