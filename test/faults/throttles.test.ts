/** Throttled transfers reduce their request rate, and each throttle costs one request. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { downloadSnapshot, uploadSnapshot } from '../../src/index.ts';
import {
  bytesAt,
  firstWrongBlock,
  GIB,
  randomBlocks,
  recorder,
  scratch,
  startService,
} from '../support/service.ts';

const BLOCK = 4096;
const COUNT = 40;

for (const transport of ['fast', 'sdk'] as const) {
  test(`a transfer that is throttled over ${transport} makes one request for each block and each throttle`, async (t) => {
    const { emulator, service } = await startService(t, {
      blockSize: BLOCK,
      quotas: { getPerSecond: 30, putPerSecond: 30 },
      // A slow machine may not reach the quotas.
      faults: ['GetSnapshotBlock', 'PutSnapshotBlock'].map((operation) => ({
        operation,
        first: 3,
        action: { type: 'error', status: 400, code: 'RequestThrottledException' },
      })),
    });
    const path = (name: string) => join(directory, name);
    const directory = scratch(t);
    const { events, onEvent } = recorder();
    const options = { ...service, transport, onEvent };

    const indexes = Array.from({ length: COUNT }, (_, at) => at);
    const blocks = randomBlocks(indexes, [], BLOCK);
    const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
    const down = await downloadSnapshot({ snapshotId, target: path('disk.img'), ...options });
    assert.equal(await firstWrongBlock(path('disk.img'), blocks, GIB, BLOCK), undefined);
    assert.ok(down.throttles > 0 && down.requestsPerSecond < 900, `${down.throttles} throttles`);
    assert.equal(emulator.requests('GetSnapshotBlock').length, COUNT + down.throttles);

    const image = randomBytes(COUNT * BLOCK);
    writeFileSync(path('source.img'), image);
    const up = await uploadSnapshot({ source: path('source.img'), ...options });
    assert.ok(bytesAt(await emulator.readImage(up.snapshotId), 0, image.length).equals(image));
    assert.ok(up.throttles > 0);
    assert.equal(emulator.requests('PutSnapshotBlock').length, COUNT + up.throttles);

    const retries = events.filter((event) => event.type === 'retry');
    assert.equal(retries.length, down.throttles + up.throttles);
  });
}
