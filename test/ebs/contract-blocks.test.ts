/** Blocks that contradict their headers: which are rejected, and which are passed to the caller's own check. */
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

/** Rejected before the caller sees a byte; stacks with retries fetch the block at most eight times. */
const invalid: readonly [string, FaultAction, RegExp][] = [
  [
    'a block with another checksum algorithm',
    { type: 'checksum-algorithm', value: 'CRC32' },
    /checksum algorithm CRC32, expected SHA256/,
  ],
  [
    'a block without a checksum algorithm',
    { type: 'checksum-algorithm', value: null },
    /no checksum algorithm/,
  ],
  ['a block without a checksum', { type: 'checksum', value: null }, /no valid checksum/],
  [
    'a block whose checksum is too short for SHA-256',
    { type: 'checksum', value: 'AAAA' },
    /no valid checksum/,
  ],
  ['a block without a data length', { type: 'data-length', value: null }, /has no data length/],
  ['a block with data length 0', { type: 'data-length', value: 0 }, /has data length 0,/],
  ['a block with a negative data length', { type: 'data-length', value: -1 }, /has data length /],
  ['a block with a fractional data length', { type: 'data-length', value: '16383.5' }, /has data length /],
  ['a block whose data length is not a number', { type: 'data-length', value: 'many' }, /has data length /],
  [
    'a block with a data length above the block size',
    { type: 'data-length', value: BLOCK + 1 },
    /has data length /,
  ],
  ['a block with data length 2^53', { type: 'data-length', value: 2 ** 53 }, /has data length /],
  [
    'a block with more bytes than its data length',
    { type: 'data-length', value: BLOCK - 1 },
    new RegExp(`has ${BLOCK} bytes, but its header says ${BLOCK - 1}`),
  ],
  [
    'a block with fewer bytes than its data length',
    { type: 'short-body', contentLength: 'short' },
    /bytes, but its header says/,
  ],
];

describe('received and stored blocks', { concurrency: 4 }, () => {
  for (const stack of stacks) {
    const says = (sentence: string) => `${stack.name}: ${sentence}`;

    for (const [what, action, message] of invalid) {
      test(says(`${what} is rejected`), async (t) => {
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

    test(says('a block with a flipped bit is passed to the caller with the expected digest'), async (t) => {
      const connected = await connect(t, stack);
      const { block, buffer, data } = await withBlock(connected);
      connected.emulator.setFaults([{ action: { type: 'flip-bit', byte: 100, bit: 3 } }]);
      const { digest, dataLength } = await connected.api.getSnapshotBlock(block, buffer);
      assert.deepEqual(Buffer.from(digest), sha256(data));
      assert.equal(dataLength, BLOCK);
      assert.equal(buffer[100], data[100]! ^ 8);
    });

    test(
      says('a block with the checksum of other data is passed to the caller with that checksum'),
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

    test(says('a block with a chunked body is received'), async (t) => {
      const connected = await connect(t, stack);
      const fixture = await withBlock(connected);
      connected.emulator.setFaults([{ action: { type: 'chunked' } }]);
      await getsBlock(connected, fixture);
    });

    test(says('a block that arrives slowly is received without a retry'), async (t) => {
      const connected = await connect(t, stack, { deadlines: { idleMs: 2_000 } });
      const fixture = await withBlock(connected);
      connected.emulator.setFaults([{ action: { type: 'drip', bytesPerSecond: 6_000 } }]);
      const before = performance.now();
      await getsBlock(connected, fixture);
      assert.ok(performance.now() - before > 2_000);
      assert.equal(connected.retried.length, 0);
    });

    test(
      says('a block that is larger than the buffer is rejected, and nothing is written past its end'),
      async (t) => {
        const connected = await connect(t, stack);
        const { block } = await withBlock(connected);
        const slab = Buffer.alloc(BLOCK);
        const buffer = slab.subarray(0, BLOCK / 2);
        await assert.rejects(connected.api.getSnapshotBlock(block, buffer), { class: 'integrity' });
        assert.ok(slab.subarray(BLOCK / 2).equals(Buffer.alloc(BLOCK / 2)));
      },
    );

    test(says('a put that was stored with a different checksum fails'), async (t) => {
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

    test(says('a put whose reply was lost can be repeated'), async (t) => {
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
