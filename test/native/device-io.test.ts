import assert from 'node:assert/strict';
import { closeSync, openSync, readFileSync, truncateSync, writeSync } from 'node:fs';
import { test } from 'node:test';
import {
  allocateSlab,
  dropCache,
  isZero,
  nextExtent,
  readBlocks,
  syncData,
  writeBlocks,
  type ZeroMethod,
  zeroRange,
} from '../../src/native/index.ts';
import { digestOf, noise, noLoopDevices, withDevice, withLoop } from './support.ts';

const K = 1024;
const M = 1024 * K;
const skip = noLoopDevices;

test('every zero method zeroes a range of a device that held other data, and only that', {
  skip,
}, async () => {
  for (const method of ['blkzeroout', 'zero-range', 'punch-hole', 'write'] satisfies ZeroMethod[]) {
    for (const direct of [false, true]) {
      await withLoop(2 * M, async (device, backing) => {
        await withDevice(
          device,
          async (fd) => {
            const slab = new Uint8Array(allocateSlab(2 * M)).fill(0xff);
            await writeBlocks(fd, [{ data: slab, offset: 0, digest: digestOf(slab) }], {
              zero: 'skip',
              zeroMethod: 'write',
            });
            assert.equal(await zeroRange(fd, 512 * K, M, method), method);
            await readBlocks(fd, [{ data: slab, offset: 0 }], { hash: false });
            const expected = new Uint8Array(2 * M).fill(0xff).fill(0, 512 * K, 1536 * K);
            assert.equal(Buffer.compare(slab, expected), 0, `${method} through the cache or past it`);
            await syncData(fd);
            await dropCache(fd, 0, 0);
            await readBlocks(fd, [{ data: slab, offset: 0 }], { hash: false });
            assert.equal(Buffer.compare(slab, expected), 0, `${method} on the medium`);
          },
          { direct },
        );
        assert.equal(isZero(readFileSync(backing).subarray(512 * K, 1536 * K)), true);
      });
    }
  }
});

test('data still dirty in the page cache do not come back over the zeros', { skip }, async () => {
  await withLoop(4 * M, async (device) => {
    const other = openSync(device, 'r+');
    try {
      await withDevice(device, async (fd) => {
        for (let round = 0; round < 4; round++) {
          writeSync(other, noise(4 * M, round), 0, 4 * M, 0);
          await zeroRange(fd, 0, 4 * M, 'blkzeroout');
          await syncData(other);
          await dropCache(fd, 0, 0);
          const data = noise(4 * M);
          const [result] = await readBlocks(fd, [{ data, offset: 0 }], { hash: false });
          assert.deepEqual(result, { digest: new Uint8Array(0), zero: true, bytesRead: 4 * M });
        }
      });
    } finally {
      closeSync(other);
    }
  });
});

test('neither data nor zeros are reported written past the end of a device', { skip }, async () => {
  await withLoop(M, async (device) => {
    await withDevice(device, async (fd) => {
      for (const method of ['blkzeroout', 'zero-range', 'punch-hole', 'write'] satisfies ZeroMethod[]) {
        await assert.rejects(zeroRange(fd, 512 * K, M, method), { code: 'ENOSPC' }, method);
      }
      const data = noise(8 * K);
      const write = writeBlocks(fd, [{ data, offset: M - 4 * K, digest: digestOf(data) }], {
        zero: 'skip',
        zeroMethod: 'write',
      });
      await assert.rejects(write, { code: 'ENOSPC', syscall: 'pwrite', offset: M - 4 * K });
    });
  });
});

test('sectors of 4 KiB: whole ones directly, parts of one through the cache', { skip }, async () => {
  await withLoop(
    M,
    async (device) => {
      await withDevice(
        device,
        async (fd) => {
          const slab = new Uint8Array(allocateSlab(8 * K));
          slab.set(noise(8 * K, 3));
          const blocks = [
            { data: slab, offset: 8 * K, digest: digestOf(slab) },
            { data: slab.subarray(0, 512), offset: 20 * K + 512, digest: digestOf(slab.subarray(0, 512)) },
          ];
          const { outcomes } = await writeBlocks(fd, blocks, { zero: 'zero', zeroMethod: 'blkzeroout' });
          assert.deepEqual(outcomes, ['written', 'written']);
          assert.equal(await zeroRange(fd, 9 * K, 5 * K, 'blkzeroout'), 'blkzeroout');
          const expected = new Uint8Array(M);
          expected.set(slab, 8 * K);
          expected.set(slab.subarray(0, 512), 20 * K + 512);
          expected.fill(0, 9 * K, 14 * K);
          const all = new Uint8Array(allocateSlab(M));
          await readBlocks(fd, [{ data: all, offset: 0 }], { hash: false });
          assert.equal(Buffer.compare(all, expected), 0);
        },
        { direct: true },
      );
    },
    ['-b', '4096'],
  );
});

test('a device is one extent up to its end', { skip }, async () => {
  await withLoop(M, async (device) => {
    await withDevice(device, async (fd) => {
      assert.deepEqual(await nextExtent(fd, 4096), { start: 4096, end: M });
      assert.equal(await nextExtent(fd, M), null);
    });
  });
});

test('a device whose medium has shrunk under it rejects with EIO, with the offset', { skip }, async () => {
  await withLoop(M, async (device, backing) => {
    await withDevice(
      device,
      async (fd) => {
        truncateSync(backing, 0);
        const data = new Uint8Array(allocateSlab(4096));
        await assert.rejects(readBlocks(fd, [{ data, offset: 512 * K }], { hash: true }), {
          code: 'EIO',
          syscall: 'pread',
          offset: 512 * K,
        });
      },
      { direct: true },
    );
  });
});
