import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { LinearDigest } from '../../src/transfer/snapshot/linear-digest.ts';

const digests = Array.from({ length: 200 }, () => randomBytes(32));

function expected(blocks: readonly number[]): string {
  const hash = createHash('sha256');
  for (const block of blocks) hash.update(digests[block] as Buffer);
  return hash.digest('hex');
}

test('computes the LINEAR digest over blocks in ascending order, however they finish, and resumes from a prefix', () => {
  const step = fc.record({ length: fc.integer({ min: 1, max: 5 }), put: fc.boolean() });
  fc.assert(
    fc.property(
      fc.array(step, { maxLength: 30 }),
      fc.infiniteStream(fc.nat()),
      fc.nat(30),
      fc.boolean(),
      (runs, order, cut, keepsAhead) => {
        const steps: { start: number; end: number; put: boolean }[] = [];
        let next = 0;
        for (const run of runs) {
          const length = run.put ? 1 : run.length;
          steps.push({ start: next, end: next + length, put: run.put });
          next += length;
        }
        const shuffled = steps
          .map((value) => ({ value, key: order.next().value as number }))
          .sort((a, b) => a.key - b.key);
        let linear = new LinearDigest();
        const left = new Set(steps);
        for (const [at, { value }] of shuffled.entries()) {
          if (at === cut) {
            // A crash: what is ahead of the prefix was saved, or is forgotten and comes again.
            const { ahead, ...prefix } = linear.prefix();
            const finished = linear.finished().ranges();
            linear = new LinearDigest(keepsAhead ? { ...prefix, ahead: ahead ?? [] } : prefix);
            if (keepsAhead) assert.deepEqual(linear.finished().ranges(), finished);
            for (const earlier of keepsAhead ? steps.filter(({ put }) => !put) : steps) {
              if (!left.has(earlier) && earlier.start >= prefix.block) report(linear, earlier);
            }
          }
          left.delete(value);
          report(linear, value);
        }
        const put = steps.filter((each) => each.put).map((each) => each.start);
        assert.equal(Buffer.from(linear.digest()).toString('hex'), expected(put));
        assert.equal(linear.prefix().count, put.length);
        assert.equal(linear.prefix().block, next);
      },
    ),
  );
});

function report(linear: LinearDigest, step: { start: number; end: number; put: boolean }): void {
  if (step.put) linear.put(step.start, digests[step.start] as Buffer);
  else linear.skip(step.start, step.end);
}

test('holds back a block that is too far ahead of an unfinished one', async () => {
  const linear = new LinearDigest();
  let hasRoom = false;
  const waiting = linear.waitForWindow(16_384)?.then(() => {
    hasRoom = true;
  });
  await Promise.resolve();
  assert.equal(hasRoom, false);
  linear.put(0, digests[0] as Buffer);
  await waiting;
  assert.equal(hasRoom, true);
});
