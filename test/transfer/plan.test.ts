import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { BlockReference } from '../../src/ebs/api.ts';
import type { CheckedPage } from '../../src/ebs/list/pages.ts';
import { planDownload } from '../../src/transfer/plan.ts';
import { RangeSet } from '../../src/transfer/range-set.ts';

const GIB = 2 ** 30;

async function* pagesOf(
  blocks: number[],
  pageSize: number,
  volumeBlocks: number,
): AsyncGenerator<CheckedPage<BlockReference>> {
  const blockSize = GIB / volumeBlocks;
  for (let at = 0; at === 0 || at < blocks.length; at += pageSize) {
    const entries = blocks.slice(at, at + pageSize).map((blockIndex) => ({ blockIndex, blockToken: 't' }));
    yield { entries, volumeSize: GIB, blockSize };
  }
}

test('a plan fetches each listed block once, zeroes the rest, leaves out what is done, and ascends', async () => {
  const index = fc.nat(63);
  await fc.assert(
    fc.asyncProperty(
      fc.uniqueArray(index),
      fc.array(index),
      fc.integer({ min: 1, max: 9 }),
      async (listed, finished, pageSize) => {
        const blocks = listed.sort((a, b) => a - b);
        const done = new RangeSet(finished.map((at) => [at, at + 1] as const));
        const seen: number[] = [];
        for await (const step of planDownload(pagesOf(blocks, pageSize, 64), done)) {
          if (step.kind === 'fetch') {
            assert.ok(blocks.includes(step.reference.blockIndex));
            seen.push(step.reference.blockIndex);
          } else {
            for (let at = step.start; at < step.end; at++) {
              assert.ok(!blocks.includes(at), `block ${at} is listed and must not be zeroed`);
              seen.push(at);
            }
          }
        }
        const expected = Array.from({ length: 64 }, (_, at) => at).filter((at) => !done.has(at));
        assert.deepEqual(seen, expected);
      },
    ),
  );
});

test('a long gap is cut into steps of at most 1 GiB, so that an abort is noticed', async () => {
  async function* empty(): AsyncGenerator<CheckedPage<BlockReference>> {
    yield { entries: [], volumeSize: 5 * GIB, blockSize: 524_288 };
  }
  const steps = [];
  for await (const step of planDownload(empty(), new RangeSet())) steps.push(step);
  assert.equal(steps.length, 5);
});
