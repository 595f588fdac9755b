/** A reply that cannot be right is no use without its request ID, by which alone the service's side can look it up. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { FaultAction } from '../../src/emulator/index.ts';
import { ColdsnapError, downloadSnapshot, type ErrorCode, uploadSnapshot } from '../../src/index.ts';
import { randomBlocks, scratch, startService } from '../support/service.ts';

const cases: readonly [operation: string, action: FaultAction, code: ErrorCode][] = [
  ['GetSnapshotBlock', { type: 'flip-bit', byte: 0, bit: 0 }, 'CHECKSUM_MISMATCH'],
  ['GetSnapshotBlock', { type: 'checksum' }, 'CHECKSUM_MISMATCH'],
  ['GetSnapshotBlock', { type: 'checksum', value: null }, 'BLOCK_INVALID'],
  ['GetSnapshotBlock', { type: 'data-length', value: 1 }, 'BLOCK_INVALID'],
  ['PutSnapshotBlock', { type: 'checksum' }, 'BLOCK_INVALID'],
  ['ListSnapshotBlocks', { type: 'list', contents: 'outside' }, 'BAD_LIST'],
  ['ListSnapshotBlocks', { type: 'list', contents: 'huge-volume' }, 'BAD_LIST'],
];

function imageIn(directory: string): string {
  const image = join(directory, 'source.img');
  writeFileSync(image, Buffer.alloc(512, 1));
  return image;
}

for (const transport of ['fast', 'sdk'] as const) {
  for (const [operation, action, code] of cases) {
    test(`${code} of ${operation} (${transport}, ${JSON.stringify(action)}) names the request and a remedy`, async (t) => {
      const { emulator, service } = await startService(t, { blockSize: 512 });
      const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: randomBlocks([0], [], 512) });
      emulator.setFaults([{ operation, action }]);
      const directory = scratch(t);
      const options = { ...service, transport, checkpoint: false, retryForMs: 200 };
      const transfer =
        operation === 'PutSnapshotBlock'
          ? uploadSnapshot({ source: imageIn(directory), ...options })
          : downloadSnapshot({ snapshotId, target: join(directory, 'disk.img'), ...options });
      await assert.rejects(transfer, (error: ColdsnapError) => {
        assert.ok(error instanceof ColdsnapError);
        assert.deepEqual([error.code, error.operation], [code, operation]);
        assert.match(error.requestId ?? '', /^[0-9a-f-]{36}$/);
        assert.ok(error.hint);
        return true;
      });
    });
  }
}
