// An AbortSignal ends a transfer with its reason, and the next call resumes
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { ColdsnapError, downloadSnapshot } from 'coldsnap';
import { startEmulator } from 'coldsnap/emulator';

const emulator = await startEmulator();
const blocks = new Map(Array.from({ length: 40 }, (_, index) => [index, Buffer.alloc(524_288, index + 1)]));
const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
emulator.setFaults([{ operation: 'GetSnapshotBlock', block: 39, action: { type: 'stall' } }]);

const call = { endpoint: emulator.url, snapshotId, target: 'aborted.img' };
const controller = new AbortController();
const replied = ({ operation, status }) => operation === 'GetSnapshotBlock' && status === 200;
emulator.waitForRequest(replied, 39).then(() => controller.abort(new Error('enough')), assert.fail);
await assert.rejects(downloadSnapshot({ ...call, signal: controller.signal }), (error) => {
  assert.ok(error instanceof ColdsnapError);
  assert.deepEqual([error.code, error.class, error.cause.message], ['ABORTED', 'aborted', 'enough']);
  return true;
});
assert.ok(!existsSync('aborted.img') && existsSync('aborted.img.partial'));

await assert.rejects(downloadSnapshot({ ...call, signal: AbortSignal.abort() }), { class: 'aborted' });

emulator.setFaults([]);
emulator.clearLog();
const { bytesResumed } = await downloadSnapshot(call);
assert.ok(bytesResumed >= 10 * 524_288);
assert.ok(emulator.requests('GetSnapshotBlock').length <= 30);
await emulator.close();
