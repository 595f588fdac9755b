import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { ChunkDigests } from '../../src/transfer/journal/chunk-digests.ts';

const BLOCKS = 64;

const digestOf = (content: number) => createHash('sha256').update(`${content}`).digest();

function digestsOf(contents: Iterable<readonly [block: number, content: number]>): ChunkDigests {
  const digests = new ChunkDigests(BLOCKS);
  for (const [block, content] of contents) digests.add(block, digestOf(content));
  return digests;
}

/** Few different contents, so that blocks often hold the same. */
const someBlocks = fc
  .array(fc.tuple(fc.nat(BLOCKS - 1), fc.nat(2)), { minLength: 1 })
  .map((entries) => new Map(entries));

test('the order in which blocks are done does not matter', () => {
  fc.assert(
    fc.property(someBlocks, (contents) => {
      assert.equal(digestsOf(contents).save(), digestsOf([...contents].reverse()).save());
    }),
  );
});

test('chunks have the same digest only where the same blocks hold the same', () => {
  fc.assert(
    fc.property(someBlocks, someBlocks, (one, other) => {
      const digests = digestsOf(one);
      for (let chunk = 0; chunk * digests.chunkBlocks < BLOCKS; chunk++) {
        const inChunk = (contents: ReadonlyMap<number, number>) =>
          JSON.stringify([...contents].filter(([block]) => digests.chunkOf(block) === chunk).sort());
        assert.equal(digests.equal(chunk, digestsOf(other)), inChunk(one) === inChunk(other));
      }
    }),
  );
});

test('blocks that change places give another digest', () => {
  for (let distance = 1; distance < 16; distance++) {
    const there = digestsOf([...Array(16).keys()].map((block) => [block, block & distance]));
    const swapped = digestsOf([...Array(16).keys()].map((block) => [block, ~block & distance]));
    assert.ok(!there.equal(0, swapped), `the bits ${distance} of a block's number`);
  }
});

test('a block that is taken back leaves no trace', () => {
  fc.assert(
    fc.property(someBlocks, fc.nat(BLOCKS - 1), (contents, block) => {
      const digests = digestsOf(contents);
      const before = digests.save();
      digests.add(block, digestOf(7));
      assert.notEqual(digests.save(), before);
      digests.remove(block, digestOf(7));
      assert.equal(digests.save(), before);
    }),
  );
});
