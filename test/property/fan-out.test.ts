/** Any sets of blocks that several targets hold already: each gets what it lacks, once, and nothing is read for nothing. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { ColdsnapError } from '../../src/errors.ts';
import type {
  Block,
  BlockOutcome,
  BlockSink,
  BlockSource,
  ZerosOutcome,
} from '../../src/transfer/engine/block.ts';
import { copyBlocks } from '../../src/transfer/engine/copy-blocks.ts';
import { RangeSet } from '../../src/transfer/engine/range-set.ts';
import { listedBlocks } from '../../src/transfer/engine/steps.ts';
import { Run } from '../../src/transfer/run/run.ts';
import { FanOutSink, type FanOutTarget } from '../../src/transfer/sinks/fan-out-sink.ts';
import { assertProperty } from './property.ts';

const BLOCK = 4_096;
const COUNT = 60;

/** Holds blocks in memory, and counts what is written. */
class MemorySink implements BlockSink {
  readonly label: string;
  readonly waitsFor = 'disk';
  readonly zerosPerStep = 7;
  readonly done = new RangeSet();
  readonly written: number[] = [];
  readonly contents = new Map<number, Buffer>();
  committed = false;
  readonly #failAt: number | undefined;

  constructor(label: string, failAt: number | undefined) {
    this.label = label;
    this.#failAt = failAt;
  }

  async admit(): Promise<void> {}

  #take(index: number, data: Buffer): void {
    if (this.written.length === this.#failAt) throw new ColdsnapError('local', 'EIO', `${this.label} failed`);
    this.written.push(index);
    this.contents.set(index, data);
    this.done.add(index);
  }

  async write({ index, data, verified }: Block): Promise<BlockOutcome> {
    assert.ok(verified);
    await new Promise((resolve) => setImmediate(resolve));
    this.#take(index, Buffer.from(data));
    return 'written';
  }

  async zeros(start: number, end: number): Promise<ZerosOutcome> {
    for (let index = start; index < end; index++) this.#take(index, Buffer.alloc(BLOCK));
    return { transferred: 0, skipped: end - start };
  }

  keep(): number {
    return 0;
  }
  async checkpoint(): Promise<void> {}
  async commit(): Promise<void> {
    this.committed = true;
  }
}

const someBlocks = fc.uniqueArray(fc.nat(COUNT - 1), { maxLength: COUNT });
const plans = fc.record({
  listed: someBlocks,
  zeros: fc.uniqueArray(fc.nat(COUNT - 1), { maxLength: 5 }),
  targets: fc.array(fc.record({ done: someBlocks, failAt: fc.option(fc.nat(40), { nil: undefined }) }), {
    minLength: 1,
    maxLength: 4,
  }),
  workers: fc.integer({ min: 1, max: 6 }),
});

type Plan = typeof plans extends fc.Arbitrary<infer Value> ? Value : never;

async function check({ listed, zeros, targets: held, workers }: Plan): Promise<void> {
  const blocks = new Map<number, Buffer>();
  for (const index of listed.sort((a, b) => a - b))
    blocks.set(index, zeros.includes(index) ? Buffer.alloc(BLOCK) : randomBytes(BLOCK));
  const expected = (index: number) => blocks.get(index) ?? Buffer.alloc(BLOCK);
  const targets = held.map(({ done, failAt }, at): FanOutTarget<MemorySink> => {
    const sink = new MemorySink(`target ${at}`, failAt);
    for (const index of done) {
      sink.done.add(index);
      sink.contents.set(index, expected(index));
    }
    return { sink, whole: false };
  });
  const lacking = held.map(({ done }) => COUNT - done.length);
  const fails = held.map(({ failAt }, at) => failAt !== undefined && failAt < lacking[at]!);
  const reads: number[] = [];
  const source: BlockSource = {
    label: 'memory',
    waitsFor: 'service',
    async *steps(done) {
      const pages = (async function* () {
        yield { entries: [...blocks.keys()].map((blockIndex) => ({ blockIndex, blockToken: '' })) };
      })();
      yield* listedBlocks(pages, () => COUNT, done);
    },
    async read({ index }, buffer, use) {
      reads.push(index);
      const data = expected(index);
      buffer.set(data);
      const digest = createHash('sha256').update(data).digest();
      return use({ index, data: buffer, digest, verified: false });
    },
    finish: async () => {},
  };
  const warnings: string[] = [];
  const run = new Run({ workers, onEvent: (event) => event.type === 'warning' && warnings.push(event.code) });
  const sink = new FanOutSink(run, targets);
  const copy = () =>
    run.carryOut(() => copyBlocks(run, source, sink, { volumeSize: COUNT * BLOCK, blockSize: BLOCK }));
  if (fails.every(Boolean)) {
    await assert.rejects(copy(), { code: 'EIO', message: 'target 0 failed' });
  } else {
    await copy();
  }
  assert.equal(warnings.length, fails.filter(Boolean).length);
  const wanted = [...blocks.keys()].filter((index) => held.some(({ done }) => !done.includes(index)));
  assert.ok(
    reads.every((index) => wanted.includes(index)),
    'a block that no target lacked was read',
  );
  assert.equal(new Set(reads).size, reads.length, 'a block was read twice');
  for (const [at, { sink: one, whole, failure }] of targets.entries()) {
    assert.deepEqual([whole, one.committed, failure !== undefined], [!fails[at], !fails[at], fails[at]]);
    assert.equal(new Set(one.written).size, one.written.length, 'a block was written twice');
    assert.ok(one.written.every((index) => !held[at]!.done.includes(index)));
    for (const [index, data] of one.contents) assert.ok(data.equals(expected(index)));
    if (whole) assert.equal(one.contents.size, COUNT);
  }
}

test('each target gets exactly the blocks that it lacks, whatever the others hold or fail at', async (t) => {
  await assertProperty(t, fc.asyncProperty(plans, check), 150);
});
