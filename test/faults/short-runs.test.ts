/** A run that lives for a second leaves progress: killed again and again, a download does not begin again and again. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import type { RequestRecord } from '../../src/emulator/index.ts';
import { type ColdsnapError, downloadSnapshot } from '../../src/index.ts';
import { ImageSink } from '../../src/transfer/sinks/image-sink.ts';
import '../support/in-memory.ts';
import { machine } from '../support/machine.ts';
import { firstWrongBlock, GIB, randomBlocks, scratch, startService } from '../support/service.ts';

const BLOCK = 16_384;
const COUNT = 2_400;
/** Milliseconds for a block: 143 blocks a second, so that a run lives for two seconds. */
const BLOCK_MS = 7;
/** Blocks between two pauses of the clock, fewer than may be in flight. */
const AT_ONCE = 7;
const KILLS = 20;

test(`a download that is killed up to ${KILLS} times, every 200 to 400 blocks, fetches at most 1.4 times the volume`, async (t) => {
  const { emulator, service } = await startService(t, { blockSize: BLOCK });
  const blocks = randomBlocks(
    Array.from({ length: COUNT }, (_, at) => at * 2),
    [],
    BLOCK,
  );
  const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
  const target = join(scratch(t), 'disk.img');
  const { run } = machine(t);
  let alive = true;
  let saved: Promise<void> = Promise.resolve();
  const { checkpoint } = ImageSink.prototype;
  t.mock.method(ImageSink.prototype, 'checkpoint', function (this: ImageSink) {
    // A killed process saves nothing.
    if (alive) saved = checkpoint.call(this);
    return saved;
  });
  const replies = (count: number) =>
    emulator.waitForRequest(
      ({ operation, status }) => operation === 'GetSnapshotBlock' && status === 200,
      count,
    );

  /** Downloads until `life` blocks are fetched. @returns whether it ended before, and the requests */
  async function downloadFor(life: number): Promise<{ ended: boolean; requests: number }> {
    const kill = new AbortController();
    let ended = false;
    let stopped = false;
    const options = { bytesPerSecond: (BLOCK * 1_000) / BLOCK_MS, signal: kill.signal, ...service };
    const outcome = downloadSnapshot({ snapshotId, target, ...options }).then(
      () => {
        ended = true;
      },
      (error: ColdsnapError) => {
        stopped = true;
        assert.equal(error.class, 'aborted', error.message);
      },
    );
    let whole = false;
    const last = ({ blockIndex, status }: RequestRecord) => blockIndex === 2 * (COUNT - 1) && status === 200;
    const lastFetched = emulator.waitForRequest(last).then(
      () => {
        whole = true;
      },
      () => {},
    );
    // The clock stands still while blocks are fetched and while the journal is saved.
    for (let count = 1; count <= life && !whole; count += AT_ONCE) {
      await Promise.race([replies(count), lastFetched, outcome]);
      await saved;
      run(AT_ONCE * BLOCK_MS, BLOCK_MS);
    }
    if (!whole) {
      alive = false;
      kill.abort();
    }
    // Blocks are written in batches, which wait a moment for more.
    while (!ended && !stopped) {
      await new Promise(setImmediate);
      run(BLOCK_MS, BLOCK_MS);
    }
    await outcome;
    alive = true;
    const requests = emulator.requests('GetSnapshotBlock').length;
    emulator.clearLog();
    return { ended, requests };
  }

  // The same lives in every run of the test, spread over the range.
  let kills = 0;
  let total = 0;
  for (; ; kills++) {
    const life = kills < KILLS ? 200 + ((kills * 123) % 200) : Number.POSITIVE_INFINITY;
    const { ended, requests } = await downloadFor(life);
    total += requests;
    if (ended) break;
  }
  t.diagnostic(`${kills} kills, ${total} requests for ${COUNT} blocks`);
  assert.ok(kills >= 4);
  assert.ok(total <= 1.4 * COUNT, `${total} requests for ${COUNT} blocks, with ${kills} kills`);
  assert.equal(await firstWrongBlock(target, blocks, GIB, BLOCK), undefined);
});
