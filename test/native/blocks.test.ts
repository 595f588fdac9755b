import assert from 'node:assert/strict';
import { closeSync, constants, existsSync, fstatSync, openSync, readFileSync, readSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  allocateSlab,
  type BlockWrite,
  compareBlocks,
  readBlocks,
  type SystemCallError,
  writeBlocks,
} from '../../src/native/index.ts';
import { digestOf, noise, withFile } from './support.ts';

const K = 1024;
const block = (offset: number, data: Uint8Array): BlockWrite => ({ data, offset, digest: digestOf(data) });
const wrong = new Uint8Array(32);

/** The size and flags of a file as the kernel has them. */
function statusFlags(fd: number): number {
  const info = readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8');
  return Number.parseInt(/flags:\s*([0-7]+)/.exec(info)![1]!, 8);
}

test('blocks with the right digest are written where they belong, others are not written', async () => {
  await withFile(noise(64 * K, 9), async (fd, path) => {
    const before = readFileSync(path);
    const [a, b, c] = [noise(4 * K, 1), noise(4 * K, 2), noise(512, 3)];
    const { outcomes } = await writeBlocks(
      fd,
      [block(8 * K, a), { data: b, offset: 16 * K, digest: wrong }, block(63 * K + 100, c)],
      { zero: 'skip', zeroMethod: 'write' },
    );
    assert.deepEqual(outcomes, ['written', 'mismatch', 'written']);
    before.set(a, 8 * K);
    before.set(c, 63 * K + 100);
    assert.deepEqual(readFileSync(path), before);
  });
});

test('a block of zeros is skipped, zeroed or written, by policy', async () => {
  for (const [zero, outcome, zeroed] of [
    ['skip', 'zero', false],
    ['zero', 'zero', true],
    ['write', 'written', true],
  ] as const) {
    await withFile(noise(24 * K), async (fd, path) => {
      const expected = readFileSync(path);
      const result = await writeBlocks(fd, [block(8 * K, new Uint8Array(8 * K))], {
        zero,
        zeroMethod: 'punch-hole',
      });
      assert.deepEqual(result, { outcomes: [outcome], zeroMethod: 'punch-hole' });
      if (zeroed) expected.fill(0, 8 * K, 16 * K);
      assert.deepEqual(readFileSync(path), expected, zero);
    });
  }
});

test('zeros whose digest is not that of zeros are a mismatch, and nothing is zeroed', async () => {
  await withFile(noise(8 * K), async (fd, path) => {
    const before = readFileSync(path);
    for (const zero of ['skip', 'zero', 'write'] as const) {
      const blocks = [{ data: new Uint8Array(4 * K), offset: 0, digest: digestOf(noise(4 * K)) }];
      const { outcomes } = await writeBlocks(fd, blocks, { zero, zeroMethod: 'blkzeroout' });
      assert.deepEqual(outcomes, ['mismatch']);
    }
    assert.deepEqual(readFileSync(path), before);
  });
});

test('data whose digest is that of zeros are a mismatch', async () => {
  const blocks = [{ data: noise(4 * K), offset: 0, digest: digestOf(new Uint8Array(4 * K)) }];
  const { outcomes } = await writeBlocks(-1, blocks, { zero: 'skip', zeroMethod: 'write' });
  assert.deepEqual(outcomes, ['mismatch']);
});

test('the digest of zeros is known for any length, in any order', async () => {
  const lengths = Array.from({ length: 150 }, (_, i) => (i * 37) % 1500);
  const blocks = lengths.map((length) => block(0, new Uint8Array(length)));
  const { outcomes } = await writeBlocks(-1, blocks, { zero: 'skip', zeroMethod: 'write' });
  assert.deepEqual(
    outcomes,
    lengths.map(() => 'zero'),
  );
});

test('without a descriptor blocks are only checked', async () => {
  const { outcomes, zeroMethod } = await writeBlocks(
    -1,
    [block(0, noise(100)), block(0, new Uint8Array(100)), { data: noise(100), offset: 0, digest: wrong }],
    { zero: 'skip', zeroMethod: 'blkzeroout' },
  );
  assert.deepEqual(outcomes, ['written', 'zero', 'mismatch']);
  assert.equal(zeroMethod, 'blkzeroout');
  assert.deepEqual(await writeBlocks(-1, [], { zero: 'skip', zeroMethod: 'write' }), {
    outcomes: [],
    zeroMethod: 'write',
  });
});

test('verified blocks are written without a comparison, among others that are compared', async () => {
  await withFile(noise(16 * K, 9), async (fd, path) => {
    const before = readFileSync(path);
    const [a, b] = [noise(4 * K, 1), noise(4 * K, 2)];
    const blocks = [
      { data: a, offset: 0, digest: wrong, verified: true },
      { data: new Uint8Array(4 * K), offset: 4 * K, digest: wrong, verified: true },
      { data: b, offset: 8 * K, digest: wrong, verified: false },
      { data: b, offset: 12 * K, digest: wrong },
    ];
    const { outcomes } = await writeBlocks(fd, blocks, { zero: 'zero', zeroMethod: 'punch-hole' });
    assert.deepEqual(outcomes, ['written', 'zero', 'mismatch', 'mismatch']);
    before.set(a, 0);
    before.fill(0, 4 * K, 8 * K);
    assert.deepEqual(readFileSync(path), before);
  });
});

test('blocks written in any batches are read back with their digests and zero flags', async () => {
  const size = 512;
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.constantFrom('data', 'zero', 'none'), { minLength: 1, maxLength: 40 }),
      async (kinds) => {
        await withFile(noise(kinds.length * size, 77), async (fd, path) => {
          const expected = readFileSync(path);
          const writes: BlockWrite[] = [];
          for (const [i, kind] of kinds.entries()) {
            if (kind === 'none') continue;
            const data = kind === 'data' ? noise(size, i + 1) : new Uint8Array(size);
            expected.set(data, i * size);
            writes.push(block(i * size, data));
          }
          const { outcomes } = await writeBlocks(fd, writes, { zero: 'zero', zeroMethod: 'zero-range' });
          assert.deepEqual(
            outcomes,
            kinds.filter((k) => k !== 'none').map((k) => (k === 'data' ? 'written' : 'zero')),
          );
          assert.deepEqual(readFileSync(path), expected);
          const reads = kinds.map((_, i) => ({ data: noise(size, 3), offset: i * size }));
          for (const [i, result] of (await readBlocks(fd, reads, { hash: true })).entries()) {
            const piece = expected.subarray(i * size, (i + 1) * size);
            assert.deepEqual(Buffer.from(reads[i]!.data), piece);
            assert.deepEqual(Buffer.from(result.digest), digestOf(piece));
            assert.equal(result.zero, kinds[i] === 'zero');
            assert.equal(result.bytesRead, size);
          }
        });
      },
    ),
    { numRuns: 30 },
  );
});

test('received blocks are checked, and those with the right digest compared with the file', async () => {
  await withFile(noise(64 * K, 9), async (fd) => {
    const own = noise(64 * K, 9);
    const other = own.slice(8 * K, 12 * K);
    other[other.length - 1]! ^= 1;
    const zeros = new Uint8Array(4 * K);
    const blocks = [
      block(4 * K, own.subarray(4 * K, 8 * K)),
      block(8 * K, other),
      { data: other, offset: 8 * K, digest: wrong },
      { data: own.subarray(0, 4 * K), offset: 0, digest: wrong },
      block(12 * K, zeros),
    ];
    for (const bytes of [4 * K, 64 * K, 1000, 1]) {
      assert.deepEqual(await compareBlocks(fd, blocks, new Uint8Array(bytes)), [
        { outcome: 'written', equal: true, bytesRead: 4 * K },
        { outcome: 'written', equal: false, bytesRead: 4 * K },
        { outcome: 'mismatch', equal: false, bytesRead: 0 },
        { outcome: 'mismatch', equal: false, bytesRead: 0 },
        { outcome: 'zero', equal: false, bytesRead: 4 * K },
      ]);
    }
    assert.deepEqual(await compareBlocks(fd, [], new Uint8Array(1)), []);
  });
});

test('blocks past the end of the file are compared with zeros, with the count of bytes that it has', async () => {
  await withFile(new Uint8Array(5000), async (fd) => {
    const blocks = [0, 4096, 8192].map((offset) => block(offset, new Uint8Array(4096)));
    blocks.push(block(8192, noise(4096)));
    assert.deepEqual(await compareBlocks(fd, blocks, new Uint8Array(1024)), [
      { outcome: 'zero', equal: true, bytesRead: 4096 },
      { outcome: 'zero', equal: true, bytesRead: 904 },
      { outcome: 'zero', equal: true, bytesRead: 0 },
      { outcome: 'written', equal: false, bytesRead: 0 },
    ]);
  });
});

test('a block past the end of the file reads as zeros, with the count of bytes read', async () => {
  await withFile(noise(5000), async (fd) => {
    const reads = [0, 4096, 8192].map((offset) => ({ data: noise(4096, 4), offset }));
    const results = await readBlocks(fd, reads, { hash: true });
    assert.deepEqual(
      results.map(({ bytesRead, zero }) => ({ bytesRead, zero })),
      [
        { bytesRead: 4096, zero: false },
        { bytesRead: 904, zero: false },
        { bytesRead: 0, zero: true },
      ],
    );
    const tail = new Uint8Array(4096);
    tail.set(noise(5000).subarray(4096));
    assert.deepEqual(reads[1]!.data, tail);
    assert.deepEqual(results[1]!.digest, new Uint8Array(digestOf(tail)));
  });
});

test('without hash a block read has no digest', async () => {
  await withFile(noise(100), async (fd) => {
    const [result] = await readBlocks(fd, [{ data: new Uint8Array(100), offset: 0 }], { hash: false });
    assert.deepEqual(result, { digest: new Uint8Array(0), zero: false, bytesRead: 100 });
  });
});

test('only the bytes of a view are read into and written from, not its neighbours in the buffer', async () => {
  await withFile(new Uint8Array(64), async (fd, path) => {
    const memory = noise(300, 6);
    const before = memory.slice();
    const view = memory.subarray(100, 164);
    await writeBlocks(fd, [block(0, view)], { zero: 'skip', zeroMethod: 'write' });
    assert.deepEqual(new Uint8Array(readFileSync(path)), before.slice(100, 164));
    await readBlocks(fd, [{ data: memory.subarray(200, 264), offset: 0 }], { hash: false });
    before.copyWithin(200, 100, 164);
    assert.deepEqual(memory, before);
  });
});

test('O_DIRECT is kept for aligned blocks', async () => {
  await withFile(
    noise(64 * K),
    async (fd) => {
      const slab = new Uint8Array(allocateSlab(16 * K));
      slab.set(noise(16 * K, 8));
      const { outcomes } = await writeBlocks(fd, [block(16 * K, slab)], {
        zero: 'skip',
        zeroMethod: 'write',
      });
      assert.deepEqual(outcomes, ['written']);
      const back = new Uint8Array(allocateSlab(16 * K));
      await readBlocks(fd, [{ data: back, offset: 16 * K }], { hash: false });
      assert.deepEqual(back, noise(16 * K, 8));
      assert.notEqual(statusFlags(fd) & constants.O_DIRECT, 0);
    },
    { flags: constants.O_DIRECT },
  );
});

test('reading the odd end of a file does not cost the descriptor its O_DIRECT', async () => {
  await withFile(
    noise(10_000),
    async (fd) => {
      const slab = new Uint8Array(allocateSlab(16 * K));
      const [result] = await readBlocks(fd, [{ data: slab, offset: 0 }], { hash: false });
      assert.equal(result!.bytesRead, 10_000);
      assert.deepEqual(slab.slice(0, 10_000), noise(10_000));
      assert.notEqual(statusFlags(fd) & constants.O_DIRECT, 0);
    },
    { flags: constants.O_DIRECT },
  );
});

test('an unaligned tail or buffer clears O_DIRECT and is written and read', async () => {
  for (const [offset, length, shift] of [
    [4096, 1000, 0],
    [100, 4096, 0],
    [4096, 4096, 1],
  ] as const) {
    await withFile(
      new Uint8Array(32 * K),
      async (fd, path) => {
        const data = new Uint8Array(allocateSlab(16 * K)).subarray(shift, shift + length);
        data.set(noise(length, 5));
        const { outcomes } = await writeBlocks(fd, [block(offset, data)], {
          zero: 'skip',
          zeroMethod: 'write',
        });
        assert.deepEqual(outcomes, ['written']);
        assert.equal(statusFlags(fd) & constants.O_DIRECT, 0);
        const expected = new Uint8Array(32 * K);
        expected.set(data, offset);
        assert.deepEqual(new Uint8Array(readFileSync(path)), expected);
      },
      { flags: constants.O_DIRECT },
    );
    await withFile(
      noise(32 * K),
      async (fd) => {
        const data = new Uint8Array(allocateSlab(16 * K)).subarray(shift, shift + length);
        await readBlocks(fd, [{ data, offset }], { hash: false });
        assert.deepEqual(data.slice(), noise(32 * K).slice(offset, offset + length));
        assert.equal(statusFlags(fd) & constants.O_DIRECT, 0);
      },
      { flags: constants.O_DIRECT },
    );
  }
});

test('a tmpfs file works in the same way', { skip: !existsSync('/dev/shm') && 'no /dev/shm' }, async () => {
  await withFile(
    noise(16 * K),
    async (fd, path) => {
      const expected = new Uint8Array(readFileSync(path));
      const { outcomes, zeroMethod } = await writeBlocks(
        fd,
        [block(4096, noise(4096, 2)), block(8192, new Uint8Array(4096))],
        { zero: 'zero', zeroMethod: 'blkzeroout' },
      );
      assert.deepEqual(outcomes, ['written', 'zero']);
      assert.equal(zeroMethod, 'punch-hole');
      expected.set(noise(4096, 2), 4096);
      expected.fill(0, 8192, 12_288);
      assert.deepEqual(new Uint8Array(readFileSync(path)), expected);
    },
    { under: '/dev/shm' },
  );
});

test('a full disk rejects with ENOSPC, the call and the offset of the block', async () => {
  const fd = openSync('/dev/full', 'r+');
  try {
    const blocks = [
      { data: noise(512), offset: 0, digest: wrong },
      block(4096, noise(512)),
      block(8192, noise(512)),
    ];
    await assert.rejects(
      writeBlocks(fd, blocks, { zero: 'skip', zeroMethod: 'write' }),
      (error: SystemCallError) => {
        assert.equal(error.code, 'ENOSPC');
        assert.equal(error.errno, -28);
        assert.equal(error.syscall, 'pwrite');
        assert.equal(error.offset, 4096);
        assert.equal(error.message, 'ENOSPC: no space left on device, pwrite');
        return true;
      },
    );
  } finally {
    closeSync(fd);
  }
});

test('a descriptor that cannot be written or read rejects with the reason', async () => {
  await withFile(noise(512), async (_, path) => {
    const fd = openSync(path, 'r');
    try {
      const write = writeBlocks(fd, [block(0, noise(512, 2))], { zero: 'skip', zeroMethod: 'write' });
      await assert.rejects(write, { code: 'EBADF', syscall: 'pwrite', offset: 0 });
      assert.equal(fstatSync(fd).size, 512);
      assert.equal(readSync(fd, new Uint8Array(512)), 512);
    } finally {
      closeSync(fd);
    }
  });
  const directory = openSync('/', 'r');
  try {
    const read = readBlocks(directory, [{ data: new Uint8Array(512), offset: 1024 }], { hash: true });
    await assert.rejects(read, { code: 'EISDIR', syscall: 'pread', offset: 1024 });
  } finally {
    closeSync(directory);
  }
});

test('a failed call has a stack that leads to its caller', async () => {
  async function theCaller() {
    await readBlocks(2 ** 31 - 1, [{ data: new Uint8Array(1), offset: 0 }], { hash: false });
  }
  await assert.rejects(theCaller(), (error: Error) => /EBADF[\s\S]*theCaller/.test(error.stack!));
});
