// A file is uploaded, waited for and downloaded unchanged, with events for its progress
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { openSync, readSync, writeFileSync } from 'node:fs';
import {
  deletePendingSnapshots,
  downloadSnapshot,
  listPendingSnapshots,
  uploadSnapshot,
  waitForSnapshot,
} from 'coldsnap';
import { startEmulator } from 'coldsnap/emulator';

const emulator = await startEmulator();
const endpoint = emulator.url;
const image = randomBytes(3_000_000);
writeFileSync('round-trip.img', image);

const up = [];
const { snapshotId, status, volumeSize, blockSize, blocksTransferred } = await uploadSnapshot({
  endpoint,
  source: 'round-trip.img',
  description: 'round trip',
  tags: [{ key: 'a', value: 'b' }],
  onEvent: (event) => up.push(event),
});
assert.deepEqual([status, volumeSize, blockSize, blocksTransferred], ['pending', 2 ** 30, 524_288, 6]);
assert.deepEqual(
  up.find(({ type }) => type === 'snapshot'),
  { type: 'snapshot', snapshotId },
);
assert.equal(up.at(-1).type, 'done');

const waited = await waitForSnapshot({ endpoint, snapshotId, secondsBetweenAttempts: 0 });
assert.deepEqual([waited.status, waited.attempts], ['completed', 3]);
assert.deepEqual(await listPendingSnapshots({ endpoint }), []);
assert.deepEqual(await deletePendingSnapshots({ endpoint }), { deleted: [], kept: [] });

const down = [];
const result = await downloadSnapshot({
  endpoint,
  snapshotId,
  target: 'copy.img',
  workers: 2,
  onEvent: (event) => down.push(event),
});
assert.deepEqual([result.snapshotId, result.volumeSize, result.bytesDone], [snapshotId, 2 ** 30, 2 ** 30]);
const copy = Buffer.alloc(image.length);
readSync(openSync('copy.img'), copy);
assert.ok(copy.equals(image));
assert.deepEqual(
  [down[0].type, down[0].operation, down.at(-1).type, down.at(-1).bytesDone],
  ['start', 'download', 'done', 2 ** 30],
);
const { elapsedMs, ...counts } = down.at(-1);
assert.ok(elapsedMs > 0);
assert.equal(counts.blocksTransferred, 6);
await emulator.close();
