// Errors of Node.js are understood though they are of another realm, as in Jest
import assert from 'node:assert/strict';
import { createReadStream, readFileSync, writeFileSync } from 'node:fs';
import { runInNewContext } from 'node:vm';

for (const name of ['Object', 'Error', 'TypeError', 'RangeError']) globalThis[name] = runInNewContext(name);
const { downloadSnapshot, snapshotInfo, uploadSnapshot } = await import('coldsnap');

const endpoint = process.env.ENDPOINT;
writeFileSync('realm.img', 'an image');
const { snapshotId } = await uploadSnapshot({ endpoint, source: 'realm.img' });
await downloadSnapshot({ endpoint, snapshotId, target: 'realm-copy.img', verify: true });
assert.equal(readFileSync('realm-copy.img').toString('latin1', 0, 8), 'an image');

const unreachable = { endpoint: 'http://127.0.0.1:1', retryForMs: 0 };
for (const [code, call] of [
  ['SOURCE_MISSING', () => uploadSnapshot({ endpoint, source: 'no.img' })],
  ['TARGET_PARENT_MISSING', () => downloadSnapshot({ endpoint, snapshotId, target: 'no/disk.img' })],
  [
    'TARGET_BUSY',
    () => Promise.all([1, 2].map(() => downloadSnapshot({ endpoint, snapshotId, target: 'two.img' }))),
  ],
  ['ENOSPC', () => downloadSnapshot({ endpoint, snapshotId, target: '/dev/full' })],
  ['ENOENT', () => uploadSnapshot({ endpoint, source: createReadStream('no.img'), volumeSizeGiB: 1 })],
  ['ENDPOINT_UNREACHABLE', () => snapshotInfo({ ...unreachable, snapshotId })],
  ['ENDPOINT_UNREACHABLE', () => uploadSnapshot({ ...unreachable, source: 'realm.img' })],
]) {
  await assert.rejects(call(), (error) => {
    assert.equal(error.code, code, error.stack);
    return true;
  });
}
