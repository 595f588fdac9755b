/** System calls that fail, are interrupted or do half the work, by strace's injection, in a process of its own. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { bundle, noise, noLoopDevices, noStrace, runScript, runTraced, withLoop } from './support.ts';

const skip = noStrace;
const K = 1024;
let directory: string;
let file: string;
let native: string;

before(() => {
  directory = mkdtempSync(join(tmpdir(), 'coldsnap-faults-'));
  native = bundle(directory);
  file = join(directory, 'target');
});
after(() => rmSync(directory, { recursive: true, force: true }));

/** Script text: opens the file, runs `body`, prints what came of it as JSON. */
const script = (path: string, body: string, flags = "'r+'") => `
import { createHash } from 'node:crypto';
const fd = fs.openSync(${JSON.stringify(path)}, ${flags});
const data = new Uint8Array(native.allocateSlab(16384)).fill(7);
const digest = createHash('sha256').update(data).digest();
const options = { zero: 'zero', zeroMethod: 'blkzeroout' };
const write = (...offsets) => native.writeBlocks(fd, offsets.map((offset) => ({ data, offset, digest })), options);
const read = (...offsets) => native.readBlocks(fd, offsets.map((offset) => ({ data, offset })), { hash: false });
try {
  console.log(JSON.stringify({ result: await (async () => { ${body} })() }));
} catch (error) {
  const { code, syscall, offset, message } = error;
  console.log(JSON.stringify({ error: { code, syscall, offset, message } }));
}`;

interface Report {
  result?: unknown;
  error?: { code: string; syscall: string; offset?: number; message: string };
  trace: string[];
}

function traced(path: string, calls: string, injections: string[], body: string, flags?: string): Report {
  const { stdout, stderr, trace } = runTraced(
    directory,
    native,
    path,
    calls,
    injections,
    script(path, body, flags),
  );
  assert.notEqual(stdout, '', stderr);
  return { ...(JSON.parse(stdout) as Report), trace };
}

/** Of pread64 and pwrite64 lines: [call, length, offset, result]. */
function transfers(trace: string[]): [string, number, number, string][] {
  return trace.flatMap((line) => {
    const found = /^(p(?:read|write)64)\(.*, (\d+), (\d+)\) += (\S+(?: E\w+)?)/.exec(line);
    return found
      ? [[found[1]!, Number(found[2]), Number(found[3]), found[4]!] as [string, number, number, string]]
      : [];
  });
}

test('an interrupted write or read is made again', { skip }, () => {
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

test('a short write or read goes on where it ended', { skip }, () => {
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

test('a write that does nothing and gives no reason is EIO, not an endless loop', { skip }, () => {
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

test('when direct I/O is refused the call is made once more without it, and only once', { skip }, () => {
  writeFileSync(file, noise(64 * K));
  const flags = 'fs.constants.O_RDWR | fs.constants.O_DIRECT';
  for (const [call, body] of [
    ['pwrite64', 'return write(4096)'],
    ['pread64', 'return read(4096)'],
  ] as const) {
    const once = traced(file, `${call},fcntl`, [`${call}:error=EINVAL:when=1`], body, flags);
    assert.equal(once.error, undefined);
    const cleared = once.trace.find((line) => line.includes('F_SETFL'));
    assert.ok(cleared !== undefined && !cleared.includes('O_DIRECT'), once.trace.join('\n'));
    assert.equal(transfers(once.trace).length, 2);
    const always = traced(file, call, [`${call}:error=EINVAL`], body, flags);
    assert.deepEqual([always.error?.code, always.error?.offset, always.trace.length], ['EINVAL', 4096, 2]);
  }
});

test('on a file the zeroing ladder goes down as far as it must', { skip }, () => {
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

test('zeroing that goes wrong rejects and does not go down the ladder', { skip }, () => {
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

test('interrupted zeroing is made again', { skip }, () => {
  writeFileSync(file, noise(64 * K));
  const { result, trace } = traced(
    file,
    'fallocate',
    ['fallocate:error=EINTR:when=1..3'],
    "return native.zeroRange(fd, 8192, 16384, 'zero-range')",
  );
  assert.deepEqual([result, trace.length], ['zero-range', 4]);
});

test('a zero block in a batch remembers how low on the ladder it had to go', { skip }, () => {
  writeFileSync(file, noise(64 * K));
  const body = `
    data.fill(0);
    const zeros = createHash('sha256').update(data).digest();
    const blocks = [0, 16384].map((offset) => ({ data, offset, digest: zeros }));
    return native.writeBlocks(fd, blocks, { zero: 'zero', zeroMethod: 'zero-range' });`;
  const { result, trace } = traced(file, 'fallocate', ['fallocate:error=EOPNOTSUPP:when=1'], body);
  assert.deepEqual(result, { outcomes: ['zero', 'zero'], zeroMethod: 'punch-hole' });
  assert.equal(trace.length, 3, trace.join('\n'));
  const failed = traced(file, 'fallocate', ['fallocate:error=EIO:when=2'], body);
  assert.deepEqual([failed.error?.code, failed.error?.offset], ['EIO', 16384]);
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
      ['EIO', 'EIO: i/o error, ioctl(BLKZEROOUT)', 1],
    );
  });
});

test('device facts and partition tables: an unexpected error rejects, an expected one is false', {
  skip: skip || noLoopDevices,
}, async () => {
  await withLoop(1024 * K, (device) => {
    for (const [when, request] of [
      [1, 'BLKGETSIZE64'],
      [2, 'BLKSSZGET'],
      [3, 'BLKPBSZGET'],
      [4, 'BLKROGET'],
    ] as const) {
      const { error } = traced(
        device,
        'ioctl',
        [`ioctl:error=ENXIO:when=${when}`],
        'return native.deviceFacts(fd)',
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

test('opening: an interrupted one is repeated, one without O_DIRECT follows EINVAL, a failed fstat closes', {
  skip: skip || noLoopDevices,
}, async () => {
  await withLoop(1024 * K, (device) => {
    const open = `
      const { dev, ino, rdev } = fs.statSync(${JSON.stringify(device)}, { bigint: true });
      const own = await native.openExclusive(${JSON.stringify(device)}, { write: true, direct: true, expect: { dev, ino, rdev } });
      return own > 2;`;
    // The script's own descriptor is on /dev/null here, so that the device's path is opened by the addon alone.
    const run = (calls: string, injections: string[]) => {
      const { stdout, stderr, trace } = runTraced(
        directory,
        native,
        device,
        calls,
        injections,
        script('/dev/null', open),
      );
      assert.notEqual(stdout, '', stderr);
      return { ...(JSON.parse(stdout) as Report), trace };
    };
    const interrupted = run('openat', ['openat:error=EINTR:when=1']);
    assert.deepEqual([interrupted.result, interrupted.trace.length], [true, 2]);
    const indirect = run('openat', ['openat:error=EINVAL:when=1']);
    assert.equal(indirect.result, true);
    assert.match(indirect.trace[0]!, /O_RDWR\|O_EXCL\|.*O_DIRECT.*O_CLOEXEC.*EINVAL/);
    assert.doesNotMatch(indirect.trace[1]!, /O_DIRECT/);
    const twice = run('openat', ['openat:error=EINVAL']);
    assert.deepEqual([twice.error?.code, twice.trace.length], ['EINVAL', 2]);
    const blind = run('openat,fstat,newfstatat,close', ['fstat,newfstatat:error=EIO']);
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

test('an interrupted lock is tried again; one that cannot be had for lack of memory throws', { skip }, () => {
  writeFileSync(file, '');
  const interrupted = traced(file, 'flock', ['flock:error=EINTR:when=1'], 'return native.tryLock(fd)');
  assert.deepEqual([interrupted.result, interrupted.trace.length], [true, 2]);
  const { error } = traced(file, 'flock', ['flock:error=ENOLCK'], 'return native.tryLock(fd)');
  assert.deepEqual([error?.code, error?.syscall], ['ENOLCK', 'flock']);
});

test('a file size limit: what fits is written, then EFBIG with the offset of the block', () => {
  writeFileSync(file, '');
  const body = 'return write(0, 16384, 32768)';
  // In units of 1,024 bytes: the second block fits by half. Node ignores SIGXFSZ.
  const limited = ['bash', '-c', 'ulimit -f 24 && exec "$@"', 'bash'];
  const { stdout, stderr } = runScript(native, script(file, body), { wrap: limited });
  assert.notEqual(stdout, '', stderr);
  const { error } = JSON.parse(stdout) as Report;
  assert.deepEqual([error?.code, error?.syscall, error?.offset], ['EFBIG', 'pwrite', 16384]);
  assert.equal(statSync(file).size, 24 * K);
});

test('a tmpfs that fills up: ENOSPC, for data as for zeros', {
  skip: noLoopDevices && 'mounting needs root',
}, () => {
  const mount = join(directory, 'small');
  execFileSync('mkdir', [mount]);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=32k', 'tmpfs', mount]);
  try {
    const path = join(mount, 'file');
    writeFileSync(path, '');
    const run = (body: string) => JSON.parse(runScript(native, script(path, body)).stdout) as Report;
    const data = run('return write(0, 16384, 32768, 49152)');
    assert.deepEqual([data.error?.code, data.error?.offset], ['ENOSPC', 32768]);
    const zeros = run("return native.zeroRange(fd, 32768, 65536, 'write')");
    assert.deepEqual([zeros.error?.code, zeros.error?.syscall], ['ENOSPC', 'pwrite']);
  } finally {
    execFileSync('umount', [mount]);
  }
});
