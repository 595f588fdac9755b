/** Blocks that are not what their replies say: which are refused, and which go to the caller's own check. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { FaultAction } from '../../src/emulator/index.ts';
import {
  BLOCK,
  connect,
  getsBlock,
  sha256,
  stacks,
  storedBlock,
  withBlock,
  withPending,
} from './contract.ts';

/** Refused before the caller sees a byte, and fetched again by the stacks that retry, at most eight times. */
const invalid: readonly [string, FaultAction, RegExp][] = [
  [
    'a block checked by another algorithm',
    { type: 'checksum-algorithm', value: 'CRC32' },
    /checked by CRC32 and not/,
  ],
  ['a block checked by nothing', { type: 'checksum-algorithm', value: null }, /checked by nothing/],
  ['a block without a checksum', { type: 'checksum', value: null }, /no valid checksum/],
  ['a block whose checksum is no SHA-256', { type: 'checksum', value: 'AAAA' }, /no valid checksum/],
  ['a block without a length', { type: 'data-length', value: null }, /says it is/],
  ['a block of no bytes', { type: 'data-length', value: 0 }, /says it is 0 bytes/],
  ['a block of fewer than no bytes', { type: 'data-length', value: -1 }, /says it is/],
  ['a block of half a byte', { type: 'data-length', value: '16383.5' }, /says it is/],
  ['a block whose length is no number', { type: 'data-length', value: 'many' }, /says it is/],
  ['a block that says it is larger than blocks are', { type: 'data-length', value: BLOCK + 1 }, /says it is/],
  ['a block of 2^53 bytes', { type: 'data-length', value: 2 ** 53 }, /says it is/],
  [
    'a block that says it is smaller than it is',
    { type: 'data-length', value: BLOCK - 1 },
    new RegExp(`has ${BLOCK} bytes where its header says ${BLOCK - 1}`),
  ],
  [
    'a block that ends before its length',
    { type: 'short-body', contentLength: 'short' },
    /bytes where its header says/,
  ],
];

describe('blocks', { concurrency: 4 }, () => {
  for (const stack of stacks) {
    const says = (sentence: string) => `${stack.name}: ${sentence}`;

    for (const [what, action, message] of invalid) {
      test(says(`${what} is refused`), async (t) => {
        const connected = await connect(t, stack);
        const { emulator, api, retried } = connected;
        const { block, buffer, data } = await withBlock(connected);
        emulator.setFaults([{ operation: 'GetSnapshotBlock', action }]);
        await assert.rejects(api.getSnapshotBlock(block, buffer), {
          class: 'integrity',
          code: 'BLOCK_INVALID',
          block: 5,
          message,
        });
        assert.equal(retried.length, stack.retries ? 7 : 0);
        emulator.setFaults([]);
        await api.getSnapshotBlock(block, buffer);
        assert.ok(buffer.equals(data));
      });
    }

    test(
      says('a block with a flipped bit goes to the caller, with the digest that it should have'),
      async (t) => {
        const connected = await connect(t, stack);
        const { block, buffer, data } = await withBlock(connected);
        connected.emulator.setFaults([{ action: { type: 'flip-bit', byte: 100, bit: 3 } }]);
        const { digest, dataLength } = await connected.api.getSnapshotBlock(block, buffer);
        assert.deepEqual(Buffer.from(digest), sha256(data));
        assert.equal(dataLength, BLOCK);
        assert.equal(buffer[100], data[100]! ^ 8);
      },
    );

    test(
      says('a block with the checksum of other data goes to the caller, with that checksum'),
      async (t) => {
        const connected = await connect(t, stack);
        const { block, buffer, data } = await withBlock(connected);
        connected.emulator.setFaults([
          { action: { type: 'checksum', value: sha256(buffer).toString('base64') } },
        ]);
        const { digest } = await connected.api.getSnapshotBlock(block, buffer);
        assert.deepEqual(Buffer.from(digest), sha256(Buffer.alloc(BLOCK)));
        assert.ok(buffer.equals(data));
      },
    );

    test(says('a block sent in chunks is a block'), async (t) => {
      const connected = await connect(t, stack);
      const fixture = await withBlock(connected);
      connected.emulator.setFaults([{ action: { type: 'chunked' } }]);
      await getsBlock(connected, fixture);
    });

    test(says('a block that comes slowly, but comes, is waited for'), async (t) => {
      const connected = await connect(t, stack, { deadlines: { idleMs: 500 } });
      const fixture = await withBlock(connected);
      connected.emulator.setFaults([{ action: { type: 'drip', bytesPerSecond: BLOCK } }]);
      const before = performance.now();
      await getsBlock(connected, fixture);
      assert.ok(performance.now() - before > 600);
      assert.equal(connected.retried.length, 0);
    });

    test(says('a reply that is larger than the buffer is refused'), async (t) => {
      const connected = await connect(t, stack);
      const { block } = await withBlock(connected);
      const slab = Buffer.alloc(BLOCK);
      const buffer = slab.subarray(0, BLOCK / 2);
      await assert.rejects(connected.api.getSnapshotBlock(block, buffer), { class: 'integrity' });
      assert.ok(slab.subarray(BLOCK / 2).equals(Buffer.alloc(BLOCK / 2)));
    });

    test(says('a put whose stored checksum is another is refused'), async (t) => {
      const connected = await connect(t, stack);
      const { block } = await withPending(connected);
      connected.emulator.setFaults([
        {
          operation: 'PutSnapshotBlock',
          action: { type: 'checksum', value: sha256(Buffer.alloc(1)).toString('base64') },
        },
      ]);
      await assert.rejects(connected.api.putSnapshotBlock(block), { class: 'integrity', block: 7 });
    });

    test(says('a put whose reply was lost can be made again'), async (t) => {
      const connected = await connect(t, stack);
      const { api, emulator } = connected;
      const { block, snapshotId } = await withPending(connected);
      emulator.setFaults([
        { operation: 'PutSnapshotBlock', first: 1, action: { type: 'drop', executed: true } },
      ]);
      if (stack.retries) await api.putSnapshotBlock(block);
      else await assert.rejects(api.putSnapshotBlock(block), { class: 'transient' });
      await api.putSnapshotBlock(block);
      assert.ok((await storedBlock(emulator, snapshotId, 7)).equals(block.data));
      assert.deepEqual(emulator.snapshot(snapshotId)?.writtenBlocks, [7]);
    });
  }
});
