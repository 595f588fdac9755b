import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Scratch } from '../support/loop.ts';
import { assertFlat, type Sample, soak } from './soak.ts';

test('consecutive transfers under faults in one process leak no descriptor', async (t) => {
  const scratch = await Scratch.for(t);
  const { samples, retries } = await soak(scratch, { milliseconds: 3_000, minRounds: 4 });
  assert.ok(retries > 0, 'there were no faults');
  // Memory grows for the first minute, so only descriptors are compared.
  assertFlat(samples, ['descriptors']);
});

test('growth is detected', () => {
  const samples = Array.from({ length: 100 }, (_, at): Sample => {
    return { round: at, seconds: at, rssBytes: 1e8, heapBytes: 1e7, externalBytes: 1e6, descriptors: 20 };
  });
  assertFlat(samples);
  const growing = (name: keyof Sample, each: number) =>
    samples.map((sample, at) => ({ ...sample, [name]: sample[name] + at * each }));
  assert.throws(() => assertFlat(growing('rssBytes', 2 ** 20)), /rssBytes grew/);
  assert.throws(() => assertFlat(growing('heapBytes', 2 ** 18)), /heapBytes grew/);
  assert.throws(() => assertFlat(growing('externalBytes', 2 ** 18)), /externalBytes grew/);
  assert.throws(() => assertFlat(growing('descriptors', 0.1)), /descriptors grew/);
});
