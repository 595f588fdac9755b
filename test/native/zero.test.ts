import assert from 'node:assert/strict';
import { fstatSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { isZero, type ZeroMethod, zeroRange } from '../../src/native/index.ts';
import { noise, withFile } from './support.ts';

const K = 1024;
const methods: readonly ZeroMethod[] = ['blkzeroout', 'zero-range', 'punch-hole', 'write'];

test('the zero test finds a single set bit wherever it is, at any alignment', () => {
  for (const length of [1, 7, 8, 63, 64, 255, 256, 257, 511, 512, 513, 1024 + 5]) {
    const memory = new Uint8Array(length + 16);
    for (let shift = 0; shift < 9; shift++) {
      memory.fill(0xff);
      const view = memory.subarray(shift, shift + length);
      view.fill(0);
      assert.equal(isZero(view), true, `${length} at ${shift}`);
      for (let at = 0; at < length; at++) {
        view[at] = 1 << (at & 7);
        assert.equal(isZero(view), false, `byte ${at} of ${length} at ${shift}`);
        view[at] = 0;
      }
    }
  }
  assert.equal(isZero(new Uint8Array(0)), true);
});

test('every method makes exactly the range zero, whatever its alignment', async () => {
  const size = 40 * K;
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...methods), fc.nat(size), fc.nat(size), async (method, x, y) => {
      const [start, end] = [Math.min(x, y), Math.max(x, y)];
      await withFile(noise(size), async (fd, path) => {
        const expected = noise(size).fill(0, start, end);
        await zeroRange(fd, start, end - start, method);
        assert.deepEqual(new Uint8Array(readFileSync(path)), expected);
      });
    }),
    { numRuns: 100 },
  );
});

test('returns the method that worked, and a short unaligned range does not change it', async () => {
  await withFile(noise(64 * K), async (fd) => {
    const found = await zeroRange(fd, 0, 16 * K, 'blkzeroout');
    assert.notEqual(found, 'blkzeroout', 'that is for block devices');
    assert.equal(await zeroRange(fd, 16 * K, 8 * K, found), found);
    assert.equal(await zeroRange(fd, 100, 300, 'blkzeroout'), 'blkzeroout');
    assert.equal(await zeroRange(fd, 0, 0, 'blkzeroout'), 'blkzeroout');
    assert.equal(await zeroRange(fd, 0, 64 * K, 'write'), 'write');
  });
});

test('a range past the end makes the file longer, with every method', async () => {
  for (const method of methods) {
    await withFile(noise(6 * K), async (fd, path) => {
      await zeroRange(fd, 4 * K, 8 * K, method);
      const expected = new Uint8Array(12 * K);
      expected.set(noise(6 * K).subarray(0, 4 * K));
      assert.deepEqual(new Uint8Array(readFileSync(path)), expected, method);
    });
  }
});

test('punching a hole frees the space', async () => {
  await withFile(noise(1024 * K), async (fd) => {
    const before = fstatSync(fd).blocks;
    if ((await zeroRange(fd, 0, 1024 * K, 'punch-hole')) !== 'punch-hole') return;
    assert.ok(fstatSync(fd).blocks < before, `${fstatSync(fd).blocks} blocks of ${before} are left`);
  });
});

test('zeros longer than one write are written whole', async () => {
  const size = 2_500_000;
  await withFile(noise(size), async (fd, path) => {
    assert.equal(await zeroRange(fd, 1, size - 2, 'write'), 'write');
    const after = readFileSync(path);
    assert.equal(isZero(after.subarray(1, size - 1)), true);
    assert.equal(after[0], noise(size)[0]);
    assert.equal(after[size - 1], noise(size)[size - 1]);
  });
});

test('zeroing a closed descriptor rejects with EBADF and tries no other method', async () => {
  await assert.rejects(zeroRange(2 ** 31 - 1, 0, 4096, 'blkzeroout'), { code: 'EBADF', syscall: 'ioctl' });
  await assert.rejects(zeroRange(2 ** 31 - 1, 0, 4096, 'punch-hole'), { code: 'EBADF', syscall: 'fstat' });
});
