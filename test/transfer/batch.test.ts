import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Batcher } from '../../src/transfer/engine/batch.ts';
import { workersFor } from '../../src/transfer/engine/copy-blocks.ts';
import { runWorkers } from '../../src/transfer/engine/workers.ts';

test('runs a full batch at once and gives each item its own result', async () => {
  const batches: number[][] = [];
  const batcher = new Batcher<number, number>(12, async (items) => {
    batches.push([...items]);
    return items.map((item) => item * 10);
  });
  assert.deepEqual(await Promise.all([1, 2, 3].map((item) => batcher.submit(item))), [10, 20, 30]);
  assert.deepEqual(batches, [[1, 2, 3]]);
});

test('runs a partial batch after a short wait', async () => {
  const batcher = new Batcher<number, number>(16, async (items) => items.map((item) => item + 1));
  assert.equal(await batcher.submit(1), 2);
});

test('waits twice for a batch that is half full, and once for others', async (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const sizes: number[] = [];
  const batcher = new Batcher<number, number>(64, async (items) => {
    sizes.push(items.length);
    return items;
  });
  const submit = (count: number) => Array.from({ length: count }, (_, item) => batcher.submit(item));
  const results = [...submit(7)];
  t.mock.timers.tick(8);
  assert.deepEqual(sizes, [7]);
  results.push(...submit(8));
  t.mock.timers.tick(8);
  assert.deepEqual(sizes, [7]);
  t.mock.timers.tick(8);
  assert.deepEqual(sizes, [7, 8]);
  results.push(...submit(8));
  t.mock.timers.tick(8);
  results.push(...submit(8));
  assert.deepEqual(sizes, [7, 8, 16]);
  results.push(...submit(1));
  t.mock.timers.tick(8);
  assert.deepEqual(sizes, [7, 8, 16, 1]);
  await Promise.all(results);
});

test('fails every item of a failed batch, but not the next batch', async () => {
  let fail = true;
  const batcher = new Batcher<number, number>(8, async (items) => {
    if (fail) throw new Error('no');
    return [...items];
  });
  const outcomes = await Promise.allSettled([batcher.submit(1), batcher.submit(2)]);
  assert.deepEqual(
    outcomes.map((outcome) => outcome.status),
    ['rejected', 'rejected'],
  );
  fail = false;
  assert.equal(await batcher.submit(3), 3);
});

async function* count(to: number): AsyncGenerator<number, void, undefined> {
  for (let at = 0; at < to; at++) yield at;
}

test('takes steps in order, at most one per worker at a time', async () => {
  const begun: number[] = [];
  let active = 0;
  let most = 0;
  await runWorkers(
    3,
    count(20),
    async (step) => {
      begun.push(step);
      most = Math.max(most, ++active);
      await new Promise((resolve) => setImmediate(resolve));
      active--;
    },
    () => {},
  );
  assert.deepEqual(
    begun,
    Array.from({ length: 20 }, (_, at) => at),
  );
  assert.equal(most, 3);
});

test('starts no step after a failure, lets the others end and reports the first failure', async () => {
  const begun: number[] = [];
  const stops: unknown[] = [];
  let ended = 0;
  const running = runWorkers(
    2,
    count(100),
    async (step) => {
      begun.push(step);
      if (step === 4) throw new Error('first');
      await new Promise((resolve) => setImmediate(resolve));
      ended++;
    },
    (failure) => stops.push(failure),
  );
  await assert.rejects(running, /first/);
  assert.equal(stops.length, 1);
  assert.ok(begun.length <= 6, `begun ${begun}`);
  assert.equal(ended, begun.length - 1);
});

test('ends with the error of a failing step generator', async () => {
  async function* broken(): AsyncGenerator<number, void, undefined> {
    yield 1;
    throw new Error('list broke');
  }
  await assert.rejects(
    runWorkers(
      4,
      broken(),
      async () => {},
      () => {},
    ),
    /list broke/,
  );
});

test('keeps at most 512 MiB of blocks in memory, whatever the block size', () => {
  assert.equal(workersFor(524_288, 64), 64);
  assert.equal(workersFor(524_288, 1_024), 1_024);
  assert.equal(workersFor(2 ** 24, 64), 32);
});
