import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { RangeSet } from '../../src/transfer/engine/range-set.ts';

const range = fc.tuple(fc.nat(200), fc.nat(20)).map(([start, length]) => [start, start + length] as const);

test('holds exactly the added indexes, merged and in order', () => {
  fc.assert(
    fc.property(fc.array(range, { maxLength: 40 }), (added) => {
      const set = new RangeSet(added);
      const model = new Set<number>();
      for (const [start, end] of added) for (let at = start; at < end; at++) model.add(at);
      assert.equal(set.size, model.size);
      for (let at = 0; at < 230; at++) assert.equal(set.has(at), model.has(at), `index ${at}`);
      const ranges = set.ranges();
      for (const [at, [start, end]] of ranges.entries()) {
        assert.ok(start < end);
        if (at > 0)
          assert.ok((ranges[at - 1] as readonly [number, number])[1] < start, 'touching ranges are merged');
      }
    }),
  );
});

test('covers any window with missing and held ranges together', () => {
  fc.assert(
    fc.property(fc.array(range, { maxLength: 40 }), range, (added, [start, end]) => {
      const set = new RangeSet(added);
      const missing = new Set<number>();
      for (const [from, to] of set.missing(start, end)) for (let at = from; at < to; at++) missing.add(at);
      for (let at = start; at < end; at++) assert.equal(missing.has(at), !set.has(at));
      for (const at of missing) assert.ok(at >= start && at < end);
    }),
  );
});
