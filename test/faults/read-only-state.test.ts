/** A state directory on a file system that is mounted read-only, as on a rescue system. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { downloadSnapshot } from '../../src/index.ts';
import { needsLoop, Scratch } from '../support/loop.ts';
import { firstWrongBlock, GIB, randomBlocks, recorder, startService } from '../support/service.ts';

test('a restore to a device continues without a journal, with a warning', needsLoop, async (t) => {
  const { emulator, service } = await startService(t);
  const blocks = randomBlocks([0, 7]);
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
  const scratch = await Scratch.for(t);
  const { device } = await scratch.loop({ bytes: GIB });
  const state = process.env.STATE_DIRECTORY;
  process.env.STATE_DIRECTORY = await scratch.mount('tmpfs', ['-t', 'tmpfs', '-o', 'ro']);
  t.after(() => {
    process.env.STATE_DIRECTORY = state;
    if (state === undefined) delete process.env.STATE_DIRECTORY;
  });
  const { events, onEvent } = recorder();
  await downloadSnapshot({ ...service, snapshotId, target: device, onEvent });
  const warnings = events.flatMap((event) => (event.type === 'warning' ? [event.code] : []));
  assert.deepEqual(warnings, ['JOURNAL_NOT_WRITTEN']);
  assert.equal(await firstWrongBlock(device, blocks, GIB), undefined);
});
