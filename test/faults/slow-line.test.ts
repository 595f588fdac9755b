/** A slow link does not make a transfer fail, with 64 workers and deadlines that 64 requests in flight cannot meet. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { downloadSnapshot, type TransferEvent, uploadSnapshot } from '../../src/index.ts';
import { bytesAt, firstWrongBlock, GIB, randomBlocks, scratch, startService } from '../support/service.ts';
import { slowLine } from '../support/slow-line.ts';

/** A model of 2 Mbit/s, blocks of 512 KiB and a deadline of a minute, about a hundred times as fast: 16 blocks take half a second. */
const BYTES_PER_SECOND = 2 * 2 ** 20;
const BLOCK = 65_536;
const deadlines = { connectMs: 2_000, idleMs: 400 };
const COUNT = 40;

describe('over a slow line', { concurrency: 2 }, () => {
  for (const transport of ['fast', 'sdk'] as const) {
    test(`64 workers over ${transport} reduce their requests in flight to what the link carries, and both directions complete`, async (t) => {
      const { emulator } = await startService(t, { blockSize: BLOCK });
      const endpoint = await slowLine(t, emulator.url, BYTES_PER_SECOND);
      const directory = scratch(t);
      let fewest = 64;
      const onEvent = (event: TransferEvent) => {
        if (event.type === 'progress') fewest = Math.min(fewest, event.requestsInFlight);
      };
      const options = { endpoint, region: 'us-east-1', workers: 64, deadlines, transport, onEvent };

      const image = randomBytes(COUNT * BLOCK);
      const source = join(directory, 'source.img');
      writeFileSync(source, image);
      const up = await uploadSnapshot({ source, retryForMs: 600_000, ...options });
      assert.ok(bytesAt(await emulator.readImage(up.snapshotId), 0, image.length).equals(image));
      assert.ok(fewest <= 16, `${fewest} in flight`);
      assert.ok(up.retries < 3 * 64, `${up.retries} retries`);

      fewest = 64;
      const blocks = randomBlocks(
        Array.from({ length: COUNT }, (_, at) => at),
        [],
        BLOCK,
      );
      const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
      const target = join(directory, 'disk.img');
      await downloadSnapshot({ snapshotId, target, retryForMs: 600_000, ...options });
      assert.equal(await firstWrongBlock(target, blocks, GIB, BLOCK), undefined);
      assert.ok(fewest <= 16, `${fewest} in flight`);
    });
  }
});
