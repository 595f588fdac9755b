/** Reading, writing and syncing when system calls fail. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, test } from 'node:test';
import { place, traced, transfers, untraced } from './faulty.ts';
import { noise, noLoopDevices, noStrace } from './support.ts';

const skip = noStrace;
const K = 1024;
let file: string;
beforeEach(() => {
  file = place.file;
});

test('an interrupted write or read is repeated', { skip }, () => {
  writeFileSync(file, noise(64 * K));
  const written = traced(file, 'pwrite64', ['pwrite64:error=EINTR:when=1..2'], 'return write(4096)');
  assert.deepEqual(written.result, { outcomes: ['written'], zeroMethod: 'blkzeroout' });
  assert.deepEqual(transfers(written.trace), [
    ['pwrite64', 16384, 4096, '-1 EINTR'],
    ['pwrite64', 16384, 4096, '-1 EINTR'],
    ['pwrite64', 16384, 4096, '16384'],
  ]);
  assert.deepEqual(new Uint8Array(readFileSync(file)).subarray(4096, 20480), new Uint8Array(16384).fill(7));
  const back = traced(
    file,
    'pread64',
    ['pread64:error=EINTR:when=1'],
    'await read(4096); return data.every((x) => x === 7)',
  );
  assert.equal(back.result, true);
  assert.equal(transfers(back.trace).length, 2);
});

test('a short write or read continues where it ended', { skip }, () => {
  writeFileSync(file, noise(64 * K));
  const written = traced(file, 'pwrite64', ['pwrite64:retval=1000:when=1'], 'return write(4096)');
  assert.deepEqual(written.result, { outcomes: ['written'], zeroMethod: 'blkzeroout' });
  assert.deepEqual(transfers(written.trace), [
    ['pwrite64', 16384, 4096, '1000'],
    ['pwrite64', 15384, 5096, '15384'],
  ]);
  const back = traced(file, 'pread64', ['pread64:retval=512:when=1'], 'return read(4096)');
  assert.deepEqual(
    transfers(back.trace).map(([, length, offset]) => [length, offset]),
    [
      [16384, 4096],
      [15872, 4608],
    ],
  );
  assert.deepEqual(back.result, [{ digest: {}, zero: false, bytesRead: 16384 }]);
});

test('a write that makes no progress and gives no error is EIO, not an endless loop', { skip }, () => {
  writeFileSync(file, noise(64 * K));
  const { error } = traced(file, 'pwrite64', ['pwrite64:retval=0'], 'return write(4096)');
  assert.deepEqual([error?.code, error?.syscall, error?.offset], ['EIO', 'pwrite', 4096]);
});

test('after a failed write the batch stops, and the error names the offset of its block', { skip }, () => {
  writeFileSync(file, noise(64 * K));
  for (const code of ['EIO', 'ENOSPC', 'EROFS', 'EDQUOT', 'EREMOTEIO']) {
    const { error, trace } = traced(
      file,
      'pwrite64',
      [`pwrite64:error=${code}:when=2`],
      'return write(0, 16384, 32768)',
    );
    assert.deepEqual([error?.code, error?.syscall, error?.offset], [code, 'pwrite', 16384]);
    assert.equal(trace.length, 2);
  }
});

test('a failed read rejects with the offset of its block', { skip }, () => {
  writeFileSync(file, noise(64 * K));
  const { error } = traced(file, 'pread64', ['pread64:error=EIO:when=2'], 'return read(0, 16384, 32768)');
  assert.deepEqual([error?.code, error?.syscall, error?.offset], ['EIO', 'pread', 16384]);
});

test('a comparison is read in parts, repeated where it was interrupted, and ends at a failed read', {
  skip,
}, () => {
  writeFileSync(file, Buffer.alloc(64 * K, 7));
  const body = 'return compare(0, 16384, 32768)';
  const interrupted = traced(file, 'pread64', ['pread64:error=EINTR:when=2'], body);
  const equal = { outcome: 'written', equal: true, bytesRead: 16384 };
  assert.deepEqual(interrupted.result, [equal, equal, equal]);
  assert.deepEqual(
    transfers(interrupted.trace).map(([, length, offset]) => [length, offset]),
    [0, 8192, 8192, 16384, 24576, 32768, 40960].map((offset) => [8192, offset]),
  );
  const { error, trace } = traced(file, 'pread64', ['pread64:error=EIO:when=4'], body);
  assert.deepEqual([error?.code, error?.syscall, error?.offset], ['EIO', 'pread', 16384]);
  assert.equal(transfers(trace).length, 4);
});

test('a failed sync rejects and is never tried a second time; an interrupted one is', { skip }, () => {
  writeFileSync(file, noise(64));
  for (const [call, method] of [
    ['fdatasync', 'syncData'],
    ['fsync', 'syncAll'],
  ] as const) {
    const failed = traced(file, call, [`${call}:error=EIO:when=1`], `return native.${method}(fd)`);
    assert.deepEqual([failed.error?.code, failed.error?.syscall, failed.trace.length], ['EIO', call, 1]);
    const interrupted = traced(file, call, [`${call}:error=EINTR:when=1`], `return native.${method}(fd)`);
    assert.deepEqual([interrupted.error, interrupted.trace.length], [undefined, 2]);
  }
});

test('a call that direct I/O refuses is repeated once without it', { skip }, () => {
  writeFileSync(file, noise(64 * K));
  const flags = 'fs.constants.O_RDWR | fs.constants.O_DIRECT';
  for (const [call, body] of [
    ['pwrite64', 'return write(4096)'],
    ['pread64', 'return read(4096)'],
  ] as const) {
    const once = traced(file, `${call},fcntl`, [`${call}:error=EINVAL:when=1`], body, { flags });
    assert.equal(once.error, undefined);
    const cleared = once.trace.find((line) => line.includes('F_SETFL'));
    assert.ok(cleared !== undefined && !cleared.includes('O_DIRECT'), once.trace.join('\n'));
    assert.equal(transfers(once.trace).length, 2);
    const always = traced(file, call, [`${call}:error=EINVAL`], body, { flags });
    assert.deepEqual([always.error?.code, always.error?.offset, always.trace.length], ['EINVAL', 4096, 2]);
  }
});

test('a file size limit: blocks below it are written, then EFBIG with the offset of the block', () => {
  writeFileSync(file, '');
  const body = 'return write(0, 16384, 32768)';
  // In units of 1,024 bytes: the second block fits by half. Node ignores SIGXFSZ.
  const limited = ['bash', '-c', 'ulimit -f 24 && exec "$@"', 'bash'];
  const { error } = untraced(file, body, limited);
  assert.deepEqual([error?.code, error?.syscall, error?.offset], ['EFBIG', 'pwrite', 16384]);
  assert.equal(statSync(file).size, 24 * K);
});

test('a tmpfs that fills up: ENOSPC, for data as for zeros', {
  skip: noLoopDevices && 'mounting needs root',
}, () => {
  const mount = join(place.directory, 'small');
  execFileSync('mkdir', [mount]);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=32k', 'tmpfs', mount]);
  try {
    const path = join(mount, 'file');
    writeFileSync(path, '');
    const run = (body: string) => untraced(path, body);
    const data = run('return write(0, 16384, 32768, 49152)');
    assert.deepEqual([data.error?.code, data.error?.offset], ['ENOSPC', 32768]);
    const zeros = run("return native.zeroRange(fd, 32768, 65536, 'write')");
    assert.deepEqual([zeros.error?.code, zeros.error?.syscall], ['ENOSPC', 'pwrite']);
  } finally {
    execFileSync('umount', [mount]);
  }
});
