/** A target that is a FIFO. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';
import { downloadSnapshot } from '../../src/index.ts';
import { scratch, startService } from '../support/service.ts';

test('a download to a FIFO without a reader says what it waits for, and ends when it is aborted', async (t) => {
  const { emulator, service } = await startService(t);
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: {} });
  const target = join(scratch(t), 'fifo');
  execFileSync('mkfifo', [target]);
  const controller = new AbortController();
  const waiting: unknown[] = [];
  const download = downloadSnapshot({
    ...service,
    snapshotId,
    target,
    signal: controller.signal,
    onEvent: (event) => {
      if (event.type !== 'waiting') return;
      waiting.push([event.what, event.on]);
      controller.abort();
    },
  });
  await assert.rejects(download, { class: 'aborted' });
  assert.deepEqual(waiting[0], ['the target to be opened', 'disk']);
  assert.deepEqual(emulator.log, []);
});
