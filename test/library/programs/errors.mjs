// Every failure is a ColdsnapError with a code, a class and details
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { ColdsnapError, downloadSnapshot, uploadSnapshot, waitForSnapshot } from 'coldsnap';
import { startEmulator } from 'coldsnap/emulator';

const emulator = await startEmulator();
const endpoint = emulator.url;
const snapshotId = await emulator.putSnapshot({
  volumeSizeGiB: 1,
  blocks: new Map([[3, Buffer.alloc(524_288, 1)]]),
});
writeFileSync('existing.img', 'something');
const unknown = 'snap-00000000000000000';
const target = 'new.img';
const source = 'existing.img';

async function failure(promise) {
  const error = await promise.then(
    () => assert.fail('it succeeded'),
    (reason) => reason,
  );
  assert.ok(error instanceof ColdsnapError && error instanceof Error, error?.stack);
  assert.equal(error.name, 'ColdsnapError');
  return error;
}

for (const [call, code, errorClass] of [
  [() => downloadSnapshot({ endpoint, snapshotId: 'vol-1', target }), 'BAD_SNAPSHOT_ID', 'usage'],
  [() => downloadSnapshot({ endpoint, snapshotId, target, workers: 0 }), 'BAD_WORKERS', 'usage'],
  [() => downloadSnapshot({ endpoint, snapshotId, target, retryForMs: -1 }), 'BAD_RETRY_FOR', 'usage'],
  [() => downloadSnapshot({ endpoint, snapshotId, target: 'existing.img' }), 'TARGET_EXISTS', 'refused'],
  [() => uploadSnapshot({ endpoint, source, volumeSizeGiB: 0 }), 'BAD_VOLUME_SIZE', 'usage'],
  [() => uploadSnapshot({ endpoint, source: 'missing.img' }), 'SOURCE_MISSING', 'usage'],
  [
    () => uploadSnapshot({ endpoint, source, omitZeroBlocks: true, encrypted: true }),
    'OMIT_WITH_ENCRYPTION',
    'refused',
  ],
  [() => waitForSnapshot({ endpoint, snapshotId, desiredStatus: 'ready' }), 'BAD_WAIT_OPTION', 'usage'],
]) {
  const error = await failure(call());
  assert.deepEqual([error.code, error.class, error.retryable], [code, errorClass, false]);
}
assert.equal(emulator.log.length, 0, 'a request was made');

const missing = await failure(downloadSnapshot({ endpoint, snapshotId: unknown, target }));
assert.deepEqual(
  [missing.class, missing.operation, missing.snapshotId, missing.httpStatus],
  ['permanent', 'ListSnapshotBlocks', unknown, 404],
);
assert.match(missing.requestId, /^[\w-]{8,}$/);

emulator.setFaults([{ operation: 'GetSnapshotBlock', action: { type: 'flip-bit', byte: 5, bit: 1 } }]);
const wrong = await failure(downloadSnapshot({ endpoint, snapshotId, target, retryForMs: 0 }));
assert.deepEqual([wrong.block, wrong.cause?.class ?? wrong.class], [3, 'integrity']);

emulator.setFaults([
  { operation: 'GetSnapshotBlock', action: { type: 'error', status: 403, code: 'AccessDeniedException' } },
]);
const denied = await failure(downloadSnapshot({ endpoint, snapshotId, target }));
assert.deepEqual([denied.code, denied.class], ['ACCESS_DENIED', 'config']);
assert.match(denied.hint, /ebs:GetSnapshotBlock/);
await emulator.close();
