import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, constants, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs';
import { test } from 'node:test';
import { MessageChannel } from 'node:worker_threads';
import {
  allocateSlab,
  copyAccessList,
  dropCache,
  isZero,
  linkFile,
  nextExtent,
  readBlocks,
  syncAll,
  syncData,
  tryLock,
} from '../../src/native/index.ts';
import { noise, withDirectory, withFile } from './support.ts';

const M = 1024 * 1024;

test('a file without an access control list gives none, and a closed one is an error', async () => {
  await withFile(noise(10), async (fd) => {
    assert.equal(copyAccessList(fd, fd), false);
    const other = openSync('/dev/null', 'r');
    closeSync(other);
    assert.throws(() => copyAccessList(other, fd), { code: 'EBADF', syscall: 'fgetxattr' });
    assert.throws(() => copyAccessList(fd, -1), RangeError);
  });
});

test('the extents of a sparse file are found in order, and null after the last', async () => {
  await withFile(new Uint8Array(0), async (fd) => {
    ftruncateSync(fd, 10 * M);
    writeSync(fd, noise(M), 0, M, 2 * M);
    writeSync(fd, noise(M), 0, M, 6 * M);
    await syncAll(fd);
    assert.deepEqual(await nextExtent(fd, 0), { start: 2 * M, end: 3 * M });
    assert.deepEqual(await nextExtent(fd, 2 * M + 5), { start: 2 * M + 5, end: 3 * M });
    assert.deepEqual(await nextExtent(fd, 3 * M), { start: 6 * M, end: 7 * M });
    assert.equal(await nextExtent(fd, 7 * M), null);
    assert.equal(await nextExtent(fd, 10 * M), null);
    assert.equal(await nextExtent(fd, 11 * M), null);
  });
});

test('a file without holes is one extent up to its end, an empty one has none', async () => {
  await withFile(noise(5000), async (fd) => {
    assert.deepEqual(await nextExtent(fd, 0), { start: 0, end: 5000 });
    assert.equal(await nextExtent(fd, 5000), null);
  });
  await withFile(new Uint8Array(0), async (fd) => assert.equal(await nextExtent(fd, 0), null));
});

test('a file without a name gets one, which is not taken from another', async () => {
  await withDirectory(async (directory) => {
    const fd = openSync(directory, constants.O_RDWR | constants.O_DIRECTORY | 0o20000000, 0o600);
    try {
      writeSync(fd, 'data');
      linkFile(fd, `${directory}/file`);
      assert.equal(readFileSync(`${directory}/file`, 'utf8'), 'data');
      assert.throws(() => linkFile(fd, `${directory}/file`), { code: 'EEXIST', syscall: 'linkat' });
      assert.throws(() => linkFile(2 ** 31 - 1, `${directory}/other`), { code: 'ENOENT', syscall: 'linkat' });
      for (const path of ['', 'a\0b', 3 as unknown as string])
        assert.throws(() => linkFile(fd, path), TypeError);
    } finally {
      closeSync(fd);
    }
  });
});

test('a pipe has no extents and no positions: ESPIPE', async () => {
  await withDirectory(async (directory) => {
    const path = `${directory}/pipe`;
    execFileSync('mkfifo', [path]);
    const fd = openSync(path, 'r+');
    try {
      await assert.rejects(nextExtent(fd, 0), { code: 'ESPIPE', syscall: 'lseek' });
      await assert.rejects(dropCache(fd, 0, 0), { code: 'ESPIPE', syscall: 'posix_fadvise' });
      await assert.rejects(readBlocks(fd, [{ data: new Uint8Array(8), offset: 0 }], { hash: false }), {
        code: 'ESPIPE',
      });
      await assert.rejects(syncData(fd), { code: 'EINVAL', syscall: 'fdatasync' });
    } finally {
      closeSync(fd);
    }
  });
});

test('files and directories can be synced; a closed descriptor is EBADF', async () => {
  await withFile(noise(100), async (fd) => {
    assert.equal(await syncData(fd), undefined);
    assert.equal(await syncAll(fd), undefined);
  });
  await withDirectory(async (directory) => {
    const fd = openSync(directory, 'r');
    try {
      await syncAll(fd);
    } finally {
      closeSync(fd);
    }
  });
  await assert.rejects(syncData(2 ** 31 - 1), { code: 'EBADF', syscall: 'fdatasync' });
  await assert.rejects(syncAll(2 ** 31 - 1), { code: 'EBADF', syscall: 'fsync' });
});

test('one open file at a time holds the lock, and closing gives it back', async () => {
  await withFile(new Uint8Array(0), async (fd, path) => {
    const second = openSync(path, 'r');
    try {
      assert.equal(tryLock(second), true);
      assert.equal(tryLock(second), true, 'again by the holder');
      assert.equal(tryLock(fd), false);
    } finally {
      closeSync(second);
    }
    assert.equal(tryLock(fd), true);
  });
  assert.throws(() => tryLock(2 ** 31 - 1), { code: 'EBADF', syscall: 'flock' });
});

test('clean pages leave the cache', async () => {
  await withFile(noise(M), async (fd, path) => {
    const cached = () =>
      Number(execFileSync('fincore', ['-n', '-b', '-o', 'PAGES', path], { encoding: 'utf8' }));
    await syncData(fd);
    let fincore = true;
    try {
      assert.ok(cached() > 0);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      fincore = false; // without util-linux's fincore only the call itself is tested
    }
    await dropCache(fd, 0, 0);
    if (fincore) assert.equal(cached(), 0);
    await dropCache(fd, 4096, 4096);
  });
});

test('a slab is zeroed, page-aligned memory', async () => {
  for (const bytes of [1, 4096, 5000, 8 * M]) {
    const slab = allocateSlab(bytes);
    assert.equal(slab.byteLength, bytes);
    assert.equal(isZero(new Uint8Array(slab)), true);
  }
});

test('a slab cannot be transferred away from under the pool threads', () => {
  const slab = allocateSlab(4096);
  const { port1, port2 } = new MessageChannel();
  try {
    try {
      port1.postMessage(slab, [slab]); // Node 20 copies it
    } catch (error) {
      assert.equal((error as Error).name, 'DataCloneError'); // Node 21 and later refuse
    }
    assert.equal(slab.byteLength, 4096);
  } finally {
    port1.close();
    port2.close();
  }
});

test('a slab that cannot be allocated is ENOMEM', () => {
  assert.throws(() => allocateSlab(2 ** 50), {
    class: 'local',
    code: 'ENOMEM',
    message: 'could not allocate 1.0 PiB of memory: not enough memory',
    hint: 'The machine has run out of memory.',
  });
});
