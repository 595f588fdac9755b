/** This tool finishes a download that coldsnap 0.12 started, whose checkpoint proves nothing. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, rmSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { firstWrongBlock, GIB, randomBlocks } from '../support/service.ts';
import { ours, Workplace } from '../support/workplace.ts';
import { needsBoth, peer } from './tools.ts';

test(
  'a killed download of the other tool is finished, and everything is fetched again',
  needsBoth,
  async (t) => {
    const place = await Workplace.for(t);
    const { emulator } = place;
    const zeros = [3, 33, 203, 603];
    const blocks = randomBlocks(
      Array.from({ length: 250 }, (_, index) => index * 8),
      zeros,
    );
    const id = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
    // It writes its checkpoint after every hundred blocks, in place; the last blocks stall.
    const stalled = [...blocks.keys()].slice(150);
    emulator.setFaults([{ operation: 'GetSnapshotBlock', block: stalled, action: { type: 'stall' } }]);
    const args = ['--endpoint', emulator.url, 'download', '--checkpoint', '--workers', '8', id, 'disk.img'];
    const child = place.start(peer, args);
    const { snapshot_id, completed_blocks } = await checkpointOf(place.path('disk.img.coldsnap-progress'));
    child.kill('SIGKILL');
    await once(child, 'close');
    assert.equal(snapshot_id, id);
    assert.ok(completed_blocks.length >= 100 && completed_blocks.length < blocks.size);
    assert.ok(!existsSync(place.path('disk.img')) && existsSync(place.path('disk.img.partial')));

    emulator.setFaults([]);
    emulator.clearLog();
    // Its partial file is not ours to remove.
    rmSync(place.path('disk.img.partial'));
    await place.succeed(ours, 'download', id, 'disk.img');
    assert.equal(await firstWrongBlock(place.path('disk.img'), blocks, GIB), undefined);
    const fetched = emulator.requests('GetSnapshotBlock').map(({ blockIndex }) => blockIndex!);
    assert.deepEqual(
      fetched.sort((a, b) => a - b),
      [...blocks.keys()],
    );
    assert.ok(!existsSync(place.path('disk.img.partial')));
    assert.ok(!existsSync(place.path('disk.img.coldsnap-progress')));
  },
);

/** Resolves with the other tool's checkpoint when it is complete. */
async function checkpointOf(path: string): Promise<{ snapshot_id: string; completed_blocks: number[] }> {
  for (;;) {
    try {
      return JSON.parse(await readFile(path, 'utf8'));
    } catch {
      await pause(20);
    }
  }
}
