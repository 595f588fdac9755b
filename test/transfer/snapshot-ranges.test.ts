/** Ranges of a snapshot are planned exactly, from as few lists as their distance allows. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import fc from 'fast-check';
import type { EbsDirectApi, ListBlocksRequest } from '../../src/ebs/api.ts';
import type { EbsConnection } from '../../src/ebs/service.ts';
import type { Step } from '../../src/transfer/engine/block.ts';
import { type BlockRange, RangeSet } from '../../src/transfer/engine/range-set.ts';
import { Run } from '../../src/transfer/run/run.ts';
import { SnapshotRanges } from '../../src/transfer/sources/snapshot-ranges.ts';

const BLOCKS = 204_800;

/** A snapshot of 100 GiB that lists these blocks. */
function snapshot(blocks: readonly number[], failFrom = Number.POSITIVE_INFINITY) {
  const requests: ListBlocksRequest[] = [];
  const open = { now: 0, most: 0 };
  const api: Pick<EbsDirectApi, 'listSnapshotBlocks'> = {
    async listSnapshotBlocks(request) {
      requests.push(request);
      open.most = Math.max(open.most, ++open.now);
      await new Promise(setImmediate);
      open.now--;
      const from = request.startingBlockIndex ?? Number(request.pageToken ?? 0);
      if (from >= failFrom) throw new Error('list failed');
      const rest = blocks.filter((index) => index >= from);
      const most = request.maxResults ?? 10_000;
      return {
        blocks: rest.slice(0, most).map((blockIndex) => ({ blockIndex, blockToken: 't' })),
        volumeSizeGiB: 100,
        blockSize: 524_288,
        ...(rest.length > most ? { nextToken: `${rest[most]}` } : {}),
      };
    },
  };
  return { ebs: { api, reader: () => {} } as unknown as EbsConnection, requests, open };
}

function stepsOf(
  t: TestContext | undefined,
  ebs: EbsConnection,
  ranges: Iterable<BlockRange>,
  done = new RangeSet(),
): AsyncGenerator<Step, void, undefined> {
  const run = new Run({});
  t?.after(run.stop);
  return new SnapshotRanges(run, ebs, 'snap-1', ranges).steps(done);
}

async function planned(steps: AsyncIterable<Step>): Promise<string[]> {
  const all: string[] = [];
  for await (const step of steps)
    all.push(step.kind === 'block' ? `${step.index}` : `${step.start}-${step.end} ${step.kind}`);
  return all;
}

/** Forty blocks, each with a list of its own. */
const farApart = Array.from({ length: 40 }, (_, at) => [at * 5_000 + 1, at * 5_000 + 2] as const);

const every = (step: number) => Array.from({ length: Math.ceil(BLOCKS / step) }, (_, at) => at * step);

test('the plan has each block of the ranges once, those that are done and those between not at all', async () => {
  const index = fc.nat(30_000);
  const range = fc.tuple(index, fc.integer({ min: 1, max: 200 }));
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 700 }),
      fc.array(range, { maxLength: 40 }),
      fc.array(range, { maxLength: 10 }),
      async (step, chosen, finished) => {
        const set = (ranges: readonly [number, number][]) =>
          new RangeSet(ranges.map(([start, count]) => [start, start + count]));
        const [wanted, done] = [set(chosen), set(finished)];
        const seen: number[] = [];
        for await (const next of stepsOf(undefined, snapshot(every(step)).ebs, wanted.ranges(), done)) {
          if (next.kind === 'block') {
            assert.equal(next.index % step, 0);
            seen.push(next.index);
            continue;
          }
          assert.equal(next.kind, 'zeros');
          for (let at = next.start; at < next.end; at++) {
            assert.notEqual(at % step, 0, `block ${at} is listed`);
            seen.push(at);
          }
        }
        const expected = wanted
          .ranges()
          .flatMap(([start, end]) => Array.from({ length: end - start }, (_, at) => start + at))
          .filter((at) => !done.has(at));
        assert.deepEqual(seen, expected);
      },
    ),
    { numRuns: 60 },
  );
});

test('ranges that lie close together are listed in one request of no more blocks than they span', async (t) => {
  const { ebs, requests } = snapshot(every(1));
  const ranges: BlockRange[] = [
    [500, 502],
    [900, 901],
    [1_901, 1_902],
  ];
  assert.deepEqual(await planned(stepsOf(t, ebs, ranges)), ['500', '501', '900', '1901']);
  assert.deepEqual(requests, [{ snapshotId: 'snap-1', startingBlockIndex: 500, maxResults: 1_402 }]);
});

test('ranges that are far apart have a list each', async (t) => {
  const { ebs, requests } = snapshot(every(1));
  const ranges: BlockRange[] = [
    [500, 501],
    [1_502, 1_503],
    [1_600, 20_000],
    [20_001, 20_002],
  ];
  assert.equal((await planned(stepsOf(t, ebs, ranges))).length, 2 + 18_400 + 1);
  const starts = requests.flatMap(({ startingBlockIndex }) => startingBlockIndex ?? []);
  assert.deepEqual(starts, [500, 1_502, 1_600, 20_001]);
});

test('four lists are requested at once', async (t) => {
  const { ebs, requests, open } = snapshot(every(1));
  assert.equal((await planned(stepsOf(t, ebs, farApart))).length, 40);
  assert.deepEqual([requests.length, open.most], [40, 4]);
});

test('a list that fails ends the plan in its turn, and no other list is requested then', async (t) => {
  const { ebs, requests, open } = snapshot(every(1), 10_000);
  const seen: Step[] = [];
  await assert.rejects(async () => {
    for await (const step of stepsOf(t, ebs, farApart)) seen.push(step);
  }, /list failed/);
  assert.deepEqual(
    seen.map((step) => step.kind === 'block' && step.index),
    [1, 5_001],
  );
  assert.equal(open.now, 0);
  assert.equal(requests.length, 6);
});

test('a plan that nobody reads to its end leaves no request behind', async (t) => {
  const { ebs, open } = snapshot(every(1));
  const steps = stepsOf(t, ebs, farApart);
  await steps.next();
  await steps.return();
  assert.equal(open.now, 0);
});
