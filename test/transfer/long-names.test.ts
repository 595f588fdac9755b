/** A name may be so long that a journal's does not fit beside it. */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { downloadSnapshot, uploadSnapshot } from '../../src/index.ts';
import { GIB, randomBlocks, recorder, scratch, startService } from '../support/service.ts';

const keepCheckpoint = true;

for (const name of ['x'.repeat(191), 'x'.repeat(247), 'ü'.repeat(123)]) {
  test(`a name of ${Buffer.byteLength(name)} bytes has its journals in the state directory`, async (t) => {
    const { emulator, service } = await startService(t);
    const directory = scratch(t);
    const state = join(directory, 'state');
    process.env.STATE_DIRECTORY = state;
    const images = join(directory, 'images');
    mkdirSync(images);
    const image = join(images, name);
    const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: randomBlocks([0, 7]) });
    const { events, onEvent } = recorder();

    const download = { snapshotId, target: image, keepCheckpoint, onEvent, ...service };
    await downloadSnapshot(download);
    assert.deepEqual(readdirSync(images), [name]);
    emulator.clearLog();
    assert.equal((await downloadSnapshot(download)).bytesResumed, GIB);
    assert.equal(emulator.log.length, 0);

    const upload = { source: image, detectHoles: true, keepCheckpoint, onEvent, ...service };
    const first = await uploadSnapshot(upload);
    emulator.clearLog();
    assert.equal((await uploadSnapshot(upload)).snapshotId, first.snapshotId);
    assert.equal(emulator.requests('PutSnapshotBlock').length, 0);

    assert.deepEqual(readdirSync(images), [name]);
    assert.equal(readdirSync(state).length, 2);
    assert.deepEqual(
      events.filter(({ type }) => type === 'warning'),
      [],
    );
  });
}
