/** Zeroing, devices, extents and locks when system calls fail. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { beforeEach, test } from 'node:test';
import { place, traced } from './faulty.ts';
import { inodeOf, noise, noLoopDevices, noStrace, withLoop } from './support.ts';

const skip = noStrace;
const K = 1024;
let file: string;
beforeEach(() => {
  file = place.file;
});

test('on a file zeroing falls back as far as necessary', { skip }, () => {
  for (const [injections, method] of [
    [['fallocate:error=EOPNOTSUPP:when=1'], 'punch-hole'],
    [['fallocate:error=EINVAL:when=1'], 'punch-hole'],
    [['fallocate:error=EOPNOTSUPP'], 'write'],
    [['fallocate:error=ENOSYS'], 'write'],
    [['fallocate:error=EPERM'], 'write'],
  ] as const) {
    writeFileSync(file, noise(64 * K));
    const { result } = traced(
      file,
      'fallocate',
      [...injections],
      "return native.zeroRange(fd, 8192, 16384, 'blkzeroout')",
    );
    assert.equal(result, method);
    assert.deepEqual(new Uint8Array(readFileSync(file)), noise(64 * K).fill(0, 8192, 24576));
  }
});

test('zeroing that fails rejects and tries no other method', { skip }, () => {
  for (const code of ['EIO', 'ENOSPC', 'EFBIG']) {
    writeFileSync(file, noise(64 * K));
    const { error, trace } = traced(
      file,
      'fallocate',
      [`fallocate:error=${code}`],
      "return native.zeroRange(fd, 8192, 16384, 'zero-range')",
    );
    assert.deepEqual([error?.code, error?.syscall, trace.length], [code, 'fallocate', 1]);
    assert.deepEqual(new Uint8Array(readFileSync(file)), noise(64 * K));
  }
});

test('interrupted zeroing is repeated', { skip }, () => {
  writeFileSync(file, noise(64 * K));
  const { result, trace } = traced(
    file,
    'fallocate',
    ['fallocate:error=EINTR:when=1..3'],
    "return native.zeroRange(fd, 8192, 16384, 'zero-range')",
  );
  assert.deepEqual([result, trace.length], ['zero-range', 4]);
});

test('a batch returns the zero method that worked for its zero blocks', { skip }, () => {
  writeFileSync(file, noise(64 * K));
  const body = `
    data.fill(0);
    const zeros = createHash('sha256').update(data).digest();
    const blocks = [0, 32768].map((offset) => ({ data, offset, digest: zeros }));
    return native.writeBlocks(fd, blocks, { zero: 'zero', zeroMethod: 'zero-range' });`;
  const { result, trace } = traced(file, 'fallocate', ['fallocate:error=EOPNOTSUPP:when=1'], body);
  assert.deepEqual(result, { outcomes: ['zero', 'zero'], zeroMethod: 'punch-hole' });
  assert.equal(trace.length, 3, trace.join('\n'));
  const failed = traced(file, 'fallocate', ['fallocate:error=EIO:when=2'], body);
  assert.deepEqual([failed.error?.code, failed.error?.offset], ['EIO', 32768]);
});

test('zero blocks of a batch that are neighbours are zeroed with one call, in whatever order they came', {
  skip,
}, () => {
  writeFileSync(file, noise(128 * K));
  const body = `
    const zero = new Uint8Array(16384);
    const zeros = createHash('sha256').update(zero).digest();
    const of = (data, digest) => (offset) => ({ data, offset, digest });
    const blocks = [49152, 16384, 32768, 98304].map(of(zero, zeros));
    blocks.splice(1, 0, of(data, digest)(65536));
    return native.writeBlocks(fd, blocks, { zero: 'zero', zeroMethod: 'punch-hole' });`;
  const { result, trace } = traced(file, 'fallocate', [], body);
  assert.deepEqual((result as { outcomes: string[] }).outcomes, ['zero', 'written', 'zero', 'zero', 'zero']);
  const ranges = trace.map((line) => /, (\d+), (\d+)\) += 0$/.exec(line)?.slice(1).map(Number));
  assert.deepEqual(ranges, [
    [16384, 49152],
    [98304, 16384],
  ]);
});

test('on a device BLKZEROOUT comes first, then the rest of the ladder; never a discard', {
  skip: skip || noLoopDevices,
}, async () => {
  await withLoop(1024 * K, (device) => {
    const range = "return native.zeroRange(fd, 8192, 65536, 'blkzeroout')";
    for (const [injections, expected] of [
      [[], 'blkzeroout'],
      [['ioctl:error=EOPNOTSUPP'], 'zero-range'],
      [['ioctl:error=ENOTTY'], 'zero-range'],
      [['ioctl:error=EOPNOTSUPP:when=1', 'fallocate:error=EOPNOTSUPP:when=1'], 'punch-hole'],
      [['ioctl:error=EOPNOTSUPP:when=1', 'fallocate:error=EOPNOTSUPP'], 'write'],
    ] as const) {
      const { result, trace } = traced(device, 'ioctl,fallocate,pwrite64', [...injections], range);
      assert.equal(result, expected, trace.join('\n'));
      assert.ok(!trace.some((line) => /DISCARD|NO_HIDE/.test(line)), trace.join('\n'));
    }
    const { error, trace } = traced(device, 'ioctl', ['ioctl:error=EIO'], range);
    assert.deepEqual(
      [error?.code, error?.message, trace.length],
      ['EIO', 'EIO: input/output error, ioctl(BLKZEROOUT)', 1],
    );
  });
});

test('device info and partition tables: an unexpected error rejects, an expected one is false', {
  skip: skip || noLoopDevices,
}, async () => {
  await withLoop(1024 * K, (device) => {
    for (const [when, request] of [
      [1, 'BLKGETSIZE64'],
      [2, 'BLKSSZGET'],
      [3, 'BLKROGET'],
    ] as const) {
      const { error } = traced(
        device,
        'ioctl',
        [`ioctl:error=ENXIO:when=${when}`],
        'return native.deviceInfo(fd)',
      );
      assert.equal(error?.message, `ENXIO: no such device or address, ioctl(${request})`);
    }
    for (const code of ['EINVAL', 'EBUSY', 'ENOTTY']) {
      const { result } = traced(
        device,
        'ioctl',
        [`ioctl:error=${code}`],
        'return native.rereadPartitionTable(fd)',
      );
      assert.equal(result, false);
    }
    const { error } = traced(device, 'ioctl', ['ioctl:error=EIO'], 'return native.rereadPartitionTable(fd)');
    assert.deepEqual([error?.code, error?.syscall], ['EIO', 'ioctl']);
  });
});

test('an interrupted open is repeated, and a failed fstat closes the descriptor', {
  skip: skip || noLoopDevices,
}, async () => {
  await withLoop(1024 * K, (device) => {
    const { dev, ino, rdev } = inodeOf(device);
    const open = `
      const inode = { dev: ${dev}n, ino: ${ino}n, rdev: ${rdev}n };
      const own = await native.openExclusive(${JSON.stringify(device)}, inode);
      return own > 2;`;
    // The script's own descriptor is on /dev/null here, so that the device's path is opened by openExclusive alone.
    const run = (calls: string, injections: string[]) =>
      traced(device, calls, injections, open, { open: '/dev/null' });
    const interrupted = run('openat', ['openat:error=EINTR:when=1']);
    assert.deepEqual([interrupted.result, interrupted.trace.length], [true, 2]);
    assert.match(interrupted.trace[0]!, /O_RDWR\|.*O_EXCL.*O_CLOEXEC.*EINTR/);
    const refused = run('openat', ['openat:error=EINVAL']);
    assert.deepEqual([refused.error?.code, refused.trace.length], ['EINVAL', 1]);
    const blind = run('openat,statx,fstat,newfstatat,close', ['statx,fstat,newfstatat:error=EIO']);
    assert.equal(blind.error?.code, 'EIO', blind.trace.join('\n'));
    assert.match(blind.trace.at(-1)!, /^close\(/);
  });
});

test('extents: a file system that does not know holes reports one extent; other errors reject', {
  skip,
}, () => {
  writeFileSync(file, noise(10_000));
  const blind = traced(file, 'lseek', ['lseek:error=EINVAL:when=1'], 'return native.nextExtent(fd, 100)');
  assert.deepEqual(blind.result, { start: 100, end: 10_000 });
  const behind = traced(file, 'lseek', ['lseek:error=EINVAL:when=1'], 'return native.nextExtent(fd, 10000)');
  assert.equal(behind.result, null);
  for (const when of [1, 2]) {
    const { error } = traced(
      file,
      'lseek',
      [`lseek:error=EIO:when=${when}`],
      'return native.nextExtent(fd, 100)',
    );
    assert.deepEqual([error?.code, error?.syscall], ['EIO', 'lseek']);
  }
});

test('an interrupted lock is retried; one that fails for lack of memory throws', { skip }, () => {
  writeFileSync(file, '');
  const interrupted = traced(file, 'flock', ['flock:error=EINTR:when=1'], 'return native.tryLock(fd)');
  assert.deepEqual([interrupted.result, interrupted.trace.length], [true, 2]);
  const { error } = traced(file, 'flock', ['flock:error=ENOLCK'], 'return native.tryLock(fd)');
  assert.deepEqual([error?.code, error?.syscall], ['ENOLCK', 'flock']);
});
