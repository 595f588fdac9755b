import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readAhead } from '../../src/transfer/engine/read-ahead.ts';

/** Numbers from 0, and what was read and when it was closed. */
function numbers(count: number, failure?: Error) {
  const read: number[] = [];
  const state = { closed: false };
  async function* generate(): AsyncGenerator<number, void, undefined> {
    try {
      for (let n = 0; n < count; n++) {
        await new Promise(setImmediate);
        read.push(n);
        yield n;
      }
      if (failure !== undefined) throw failure;
    } finally {
      state.closed = true;
    }
  }
  return { source: generate(), read, state };
}

const ticks = async (count: number) => {
  for (let n = 0; n < count; n++) await new Promise(setImmediate);
};

test('yields every item in order and tells of each one early, and of the end', async () => {
  for (const limit of [1, 2, 3, 100]) {
    const { source } = numbers(50);
    const seen: number[] = [];
    let ended = 0;
    const items: number[] = [];
    const ahead = readAhead(source, { limit, onItem: (item) => seen.push(item), onEnd: () => ended++ });
    for await (const item of ahead) {
      items.push(item);
      if (item % 7 === 0) await ticks(3);
    }
    const expected = Array.from({ length: 50 }, (_, n) => n);
    assert.deepEqual([items, seen, ended], [expected, expected, 1], `limit ${limit}`);
  }
});

test('reads no further ahead than the limit', async () => {
  const { source, read } = numbers(50);
  const ahead = readAhead(source, { limit: 4, onItem() {}, onEnd() {} });
  await ahead.next();
  await ticks(50);
  assert.ok(read.length >= 4 && read.length <= 6, `${read.length}`);
  await ahead.return();
});

test('throws a failure after the items before it', async () => {
  const { source } = numbers(3, new Error('the end'));
  const items: number[] = [];
  await assert.rejects(
    async () => {
      for await (const item of readAhead(source, { limit: 10, onItem() {}, onEnd() {} })) {
        items.push(item);
        await ticks(10);
      }
    },
    { message: 'the end' },
  );
  assert.deepEqual(items, [0, 1, 2]);
});

test('closes the source when the consumer stops', async () => {
  const { source, state } = numbers(50);
  for await (const item of readAhead(source, { limit: 4, onItem() {}, onEnd() {} })) if (item === 3) break;
  await ticks(10);
  assert.equal(state.closed, true);
});
