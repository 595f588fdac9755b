import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Step } from '../../src/transfer/engine/block.ts';
import { RangeSet } from '../../src/transfer/engine/range-set.ts';
import { cutZeros, type ListedPage, listedBlocks } from '../../src/transfer/engine/steps.ts';

/** A list of these blocks, two a page. */
async function* listed(blocks: readonly number[]): AsyncGenerator<ListedPage> {
  for (let at = 0; at < blocks.length; at += 2)
    yield { entries: blocks.slice(at, at + 2).map((blockIndex) => ({ blockIndex, blockToken: 't' })) };
}

async function stepsOf(steps: AsyncIterable<Step>): Promise<Step[]> {
  const all: Step[] = [];
  for await (const step of steps) all.push(step);
  return all;
}

test('a plan transfers each listed block once, zeroes the rest, skips what is done, and ascends', async () => {
  const index = fc.nat(63);
  await fc.assert(
    fc.asyncProperty(
      fc.uniqueArray(index),
      fc.array(index),
      fc.integer({ min: 1, max: 9 }),
      async (chosen, finished, mostZeros) => {
        const blocks = chosen.sort((a, b) => a - b);
        const done = new RangeSet(finished.map((at) => [at, at + 1] as const));
        const seen: number[] = [];
        for await (const step of cutZeros(
          listedBlocks(listed(blocks), () => 64, done),
          mostZeros,
        )) {
          if (step.kind === 'block') {
            assert.ok(blocks.includes(step.index));
            seen.push(step.index);
            continue;
          }
          assert.equal(step.kind, 'zeros');
          assert.ok(step.end - step.start <= mostZeros);
          for (let at = step.start; at < step.end; at++) {
            assert.ok(!blocks.includes(at), `block ${at} is listed and must not be zeroed`);
            seen.push(at);
          }
        }
        const expected = Array.from({ length: 64 }, (_, at) => at).filter((at) => !done.has(at));
        assert.deepEqual(seen, expected);
      },
    ),
  );
});

test('a long gap is cut into steps as short as the sink asks for, so that an abort is noticed', async () => {
  const steps = await stepsOf(
    cutZeros(
      listedBlocks(listed([]), () => 10_240, new RangeSet()),
      2_048,
    ),
  );
  assert.equal(steps.length, 5);
});

test('a sink that skips any range of zeros at once gets it uncut', async () => {
  const gap = listedBlocks(listed([3]), () => 1_000, new RangeSet());
  assert.deepEqual(await stepsOf(cutZeros(gap, Number.POSITIVE_INFINITY)), [
    { kind: 'zeros', start: 0, end: 3 },
    { kind: 'block', index: 3, token: 't' },
    { kind: 'zeros', start: 4, end: 1_000 },
  ]);
});
