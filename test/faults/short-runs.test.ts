/** A run that lives for a second leaves progress: killed again and again, a download does not begin again and again. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { firstWrongBlock, GIB, randomBlocks, scratch, startService } from '../support/service.ts';
import { Command } from './command.ts';

const BLOCK = 16_384;
const COUNT = 2_400;
/** MiB per second: 150 blocks, so that a run lives for two seconds. */
const RATE = '2.35';
const KILLS = 20;

const directory = mkdtempSync(join(tmpdir(), 'coldsnap-short-runs-'));
let command: Command;
before(async () => {
  command = await Command.compile(directory);
});
after(() => rmSync(directory, { recursive: true }));

test(`a download that is killed up to ${KILLS} times, every 200 to 400 blocks, fetches at most 1.4 times the volume`, async (t) => {
  const { emulator } = await startService(t, { blockSize: BLOCK });
  const blocks = randomBlocks(
    Array.from({ length: COUNT }, (_, at) => at * 2),
    [],
    BLOCK,
  );
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
  const target = join(scratch(t), 'disk.img');
  const args = ['download', snapshotId, target, '--rate', RATE];
  let kills = 0;
  let total = 0;
  for (; ; kills++) {
    const running = command.start(emulator.url, args);
    const ended = running.ended();
    const life = 200 + Math.floor(Math.random() * 200);
    if (kills < KILLS) {
      const request = emulator.waitForRequest(({ operation }) => operation === 'GetSnapshotBlock', life);
      await Promise.race([request, ended]);
      running.process.kill('SIGKILL');
    }
    const { end, stderr } = await ended;
    total += emulator.requests('GetSnapshotBlock').length;
    emulator.clearLog();
    if (end === 0) break;
    assert.equal(end, 'SIGKILL', stderr);
  }
  t.diagnostic(`${kills} kills, ${total} requests for ${COUNT} blocks`);
  assert.ok(kills >= 4);
  assert.ok(total <= 1.4 * COUNT, `${total} requests for ${COUNT} blocks, with ${kills} kills`);
  assert.equal(await firstWrongBlock(target, blocks, GIB, BLOCK), undefined);
});
