import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as native from '../../src/native/index.ts';
import { noise } from './support.ts';

const digest = new Uint8Array(32);
const data = new Uint8Array(8);
const skipZeros = { zero: 'skip', zeroMethod: 'write' } as const;
const inode = { dev: 1n, ino: 1n, rdev: 1n };

function detached(): Uint8Array {
  const bytes = new Uint8Array(32);
  structuredClone(bytes, { transfer: [bytes.buffer] });
  return bytes;
}
const resizable = () =>
  new Uint8Array(
    new (ArrayBuffer as unknown as new (length: number, options: object) => ArrayBuffer)(32, {
      maxByteLength: 64,
    }),
  );
const shared = () => new Uint8Array(new SharedArrayBuffer(32));

/** A call with an argument that TypeScript would not let pass, and what it must reject with. */
type Case = [() => unknown, RegExp];

async function refused(cases: readonly Case[]): Promise<void> {
  for (const [call, message] of cases) {
    await assert.rejects(
      async () => call(),
      (error: Error) => {
        assert.match(String(error), message);
        assert.ok(error instanceof TypeError || error instanceof RangeError, String(error));
        return true;
      },
    );
  }
}

const as = <T>(value: unknown) => value as T;

test('descriptors must be integers that a descriptor can be', async () => {
  for (const call of [
    (fd: number) => native.deviceInfo(fd),
    (fd: number) => native.loopFile(fd),
    (fd: number) => native.rereadPartitionTable(fd),
    (fd: number) => native.readBlocks(fd, [], { hash: false }),
    (fd: number) => native.compareBlocks(fd, [], data),
    (fd: number) => native.zeroRange(fd, 0, 0, 'write'),
    (fd: number) => native.syncData(fd),
    (fd: number) => native.syncAll(fd),
    (fd: number) => native.tryLock(fd),
    (fd: number) => native.copyAccessList(fd, 0),
    (fd: number) => native.copyAccessList(0, fd),
    (fd: number) => native.linkFile(fd, '/nowhere/file'),
    (fd: number) => native.nextExtent(fd, 0),
    (fd: number) => native.dropCache(fd, 0, 0),
  ]) {
    await refused([
      [() => call(-1), /RangeError: fd must be an integer from 0 to 2147483647, not -1/],
      [() => call(1.5), /RangeError: fd must be an integer from 0 to 2147483647, not 1.5/],
      [() => call(2 ** 31), /RangeError: fd/],
      [() => call(Number.NaN), /RangeError: fd/],
      [() => call(as('3')), /TypeError: fd must be a number, not string/],
      [() => call(as(undefined)), /TypeError: fd must be a number, not undefined/],
    ]);
  }
  await refused([[() => native.writeBlocks(-2, [], skipZeros), /RangeError: fd must be an integer from -1/]]);
});

test('offsets and lengths must be integers up to 2^53-1', async () => {
  await refused([
    [() => native.nextExtent(0, -1), /RangeError: offset must be an integer from 0 to 2\^53-1, not -1/],
    [() => native.nextExtent(0, 2 ** 53), /RangeError: offset/],
    [() => native.nextExtent(0, as(1n)), /TypeError: offset must be a number, not bigint/],
    [() => native.zeroRange(0, 0.5, 1, 'write'), /RangeError: offset/],
    [() => native.zeroRange(0, 0, -1, 'write'), /RangeError: length/],
    [
      () => native.zeroRange(0, 2 ** 53 - 2, 2, 'write'),
      /RangeError: offset \+ length must be at most 2\^53-1/,
    ],
    [() => native.dropCache(0, Number.POSITIVE_INFINITY, 1), /RangeError: offset/],
    [() => native.allocateSlab(0), /RangeError: bytes must be an integer from 1 to 2\^53-1, not 0/],
    [() => native.allocateSlab(as(null)), /TypeError: bytes must be a number, not null/],
    [
      () => native.writeBlocks(-1, [{ data, offset: -8, digest }], skipZeros),
      /RangeError: offset of block 0/,
    ],
    [
      () => native.readBlocks(0, [{ data, offset: 2 ** 53 - 4 }], { hash: false }),
      /RangeError: block 0 must end at most/,
    ],
  ]);
});

test('data must be Uint8Arrays whose memory stays where it is', async () => {
  for (const [bad, message] of [
    [detached(), /TypeError: .* is on a detached ArrayBuffer/],
    [resizable(), /TypeError: .* must not be on a resizable ArrayBuffer/],
    [shared(), /TypeError: .* must not be shared memory/],
    [new ArrayBuffer(8), /TypeError: .* must be a Uint8Array, not object/],
    [new DataView(new ArrayBuffer(8)), /TypeError: .* must be a Uint8Array, not object/],
    [[1, 2], /TypeError: .* must be a Uint8Array, not an array/],
    [null, /TypeError: .* must be a Uint8Array, not null/],
  ] as const) {
    const bytes = as<Uint8Array>(bad);
    await refused([
      [() => native.writeBlocks(-1, [{ data: bytes, offset: 0, digest }], skipZeros), message],
      [() => native.writeBlocks(-1, [{ data, offset: 0, digest: bytes }], skipZeros), message],
      [() => native.readBlocks(0, [{ data: bytes, offset: 0 }], { hash: false }), message],
      [() => native.compareBlocks(0, [{ data: bytes, offset: 0, digest }], data), message],
      [() => native.compareBlocks(0, [], bytes), message],
      [() => native.sha256([data, bytes]), message],
      [() => native.isZero(bytes), message],
      [() => new native.Sha256State().update(bytes), message],
      [() => native.Sha256State.import(bytes), message],
    ]);
  }
  assert.equal(native.isZero(Buffer.alloc(8)), true, 'a Buffer is a Uint8Array');
});

test('a digest has 32 bytes, and the message says which block', async () => {
  const good = { data, offset: 0, digest };
  await refused([
    [
      () => native.writeBlocks(-1, [good, { ...good, digest: noise(31) }], skipZeros),
      /RangeError: blocks\[1\]\.digest must have 32 bytes, not 31/,
    ],
  ]);
});

test('whether a block is verified is a boolean', async () => {
  await refused([
    [
      () => native.writeBlocks(-1, [{ data, offset: 0, digest, verified: as(1) }], skipZeros),
      /TypeError: blocks\[0\]\.verified must be a boolean, not number/,
    ],
  ]);
});

test('choices, flags and lists must have the documented types', async () => {
  const policy = (zero: string, zeroMethod = 'write') => as<typeof skipZeros>({ zero, zeroMethod });
  await refused([
    [
      () => native.writeBlocks(-1, [], policy('discard')),
      /TypeError: zero must be one of skip, zero, write, not discard/,
    ],
    [
      () => native.writeBlocks(-1, [], policy('skip', 'trim')),
      /TypeError: zeroMethod must be one of blkzeroout, /,
    ],
    [
      () => native.writeBlocks(-1, [], as(policy('zero'))),
      /RangeError: fd -1 needs the zero policy skip, not zero/,
    ],
    [() => native.writeBlocks(-1, as({}), skipZeros), /TypeError: blocks must be an array, not object/],
    [() => native.zeroRange(0, 0, 0, as(1)), /TypeError: method must be one of .*, not number/],
    [() => native.compareBlocks(0, as({}), data), /TypeError: blocks must be an array, not object/],
    [() => native.compareBlocks(0, [], new Uint8Array(0)), /RangeError: buffer must not be empty/],
    [() => native.readBlocks(0, as('x'), { hash: true }), /TypeError: reads must be an array, not string/],
    [() => native.readBlocks(0, [], as({ hash: 1 })), /TypeError: hash must be a boolean, not number/],
    [
      () => native.readBlocks(0, Array(1025).fill({ data, offset: 0 }), { hash: true }),
      /RangeError: reads must be at most 1024, not 1025/,
    ],
    [
      () => native.writeBlocks(-1, Array(1025).fill({ data, offset: 0, digest }), skipZeros),
      /RangeError: blocks must be at most 1024/,
    ],
    [() => native.sha256(as(data)), /TypeError: buffers must be an array, not object/],
  ]);
});

test('the path and the inode of an exclusive open are checked', async () => {
  await refused([
    [() => native.openExclusive('', inode), /TypeError: path must not be empty or contain a NUL/],
    [() => native.openExclusive('/dev/a\0b', inode), /TypeError: path must not be empty or contain a NUL/],
    [() => native.openExclusive(as(3), inode), /TypeError: path must be a string, not number/],
    [() => native.openExclusive('/x', as({ ...inode, dev: 1 })), /TypeError: expect\.dev must be a bigint/],
    [
      () => native.openExclusive('/x', { ...inode, ino: -1n }),
      /RangeError: expect\.ino must fit 64 bits, not -1/,
    ],
    [
      () => native.openExclusive('/x', { ...inode, rdev: 2n ** 64n }),
      /RangeError: expect\.rdev must fit 64 bits/,
    ],
  ]);
});
