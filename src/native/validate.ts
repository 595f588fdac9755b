/** Argument checks, so that C++ receives only good values. TypeError for a wrong kind, RangeError for a wrong value. */

export function checkFd(fd: unknown, lowest = 0): asserts fd is number {
  if (typeof fd !== 'number') throw new TypeError(`fd must be a number, not ${kind(fd)}`);
  if (!Number.isInteger(fd) || fd < lowest || fd > 0x7fff_ffff) {
    throw new RangeError(`fd must be an integer from ${lowest} to 2147483647, not ${fd}`);
  }
}

/** A byte offset or length: 0 … 2^53-1. */
export function checkBytes(name: string, value: unknown, lowest = 0): asserts value is number {
  if (typeof value !== 'number') throw new TypeError(`${name} must be a number, not ${kind(value)}`);
  if (!Number.isSafeInteger(value) || value < lowest) {
    throw new RangeError(`${name} must be an integer from ${lowest} to 2^53-1, not ${value}`);
  }
}

/** A range of bytes whose end, too, is at most 2^53-1. */
export function checkRange(offset: unknown, length: unknown): void {
  checkBytes('offset', offset);
  checkBytes('length', length);
  if (!Number.isSafeInteger(offset + length)) {
    throw new RangeError(`offset + length must be at most 2^53-1, not ${offset} + ${length}`);
  }
}

/**
 * Memory that a pool thread may use while JavaScript runs: it must not move. (A shared or resizable buffer may
 * change under the reader, a detached one is gone.)
 */
export function checkData(name: string, data: unknown): asserts data is Uint8Array<ArrayBuffer> {
  if (!(data instanceof Uint8Array)) throw new TypeError(`${name} must be a Uint8Array, not ${kind(data)}`);
  const buffer: ArrayBufferLike & { resizable?: boolean; detached?: boolean } = data.buffer;
  if (!(buffer instanceof ArrayBuffer)) throw new TypeError(`${name} must not be shared memory`);
  if (buffer.resizable === true) throw new TypeError(`${name} must not be on a resizable ArrayBuffer`);
  if (isDetached(buffer)) throw new TypeError(`${name} is on a detached ArrayBuffer`);
}

function isDetached(buffer: ArrayBuffer & { detached?: boolean }): boolean {
  if (buffer.byteLength > 0) return false;
  if (buffer.detached !== undefined) return buffer.detached;
  try {
    // Before Node 22 there is no `detached`; a view cannot be made on a detached buffer.
    new Uint8Array(buffer);
    return false;
  } catch {
    return true;
  }
}

export function checkDigest(name: string, digest: unknown): asserts digest is Uint8Array<ArrayBuffer> {
  checkData(name, digest);
  if (digest.length !== 32) throw new RangeError(`${name} must have 32 bytes, not ${digest.length}`);
}

/** The position of `value` in `choices`, which is its number in C++. */
export function checkChoice<T extends string>(name: string, value: unknown, choices: readonly T[]): number {
  const index = (choices as readonly unknown[]).indexOf(value);
  if (index >= 0) return index;
  throw new TypeError(
    `${name} must be one of ${choices.join(', ')}, not ${typeof value === 'string' ? value : kind(value)}`,
  );
}

export function checkBoolean(name: string, value: unknown): asserts value is boolean {
  if (typeof value !== 'boolean') throw new TypeError(`${name} must be a boolean, not ${kind(value)}`);
}

export function checkArray(name: string, value: unknown): asserts value is readonly unknown[] {
  if (!Array.isArray(value)) throw new TypeError(`${name} must be an array, not ${kind(value)}`);
}

/** A path that open() can take. */
export function checkPath(path: unknown): asserts path is string {
  if (typeof path !== 'string') throw new TypeError(`path must be a string, not ${kind(path)}`);
  if (path === '' || path.includes('\0')) throw new TypeError('path must not be empty or contain a NUL');
}

/** A number that stat() gives as a bigint: 0 … 2^64-1. */
export function checkUint64(name: string, value: unknown): asserts value is bigint {
  if (typeof value !== 'bigint') throw new TypeError(`${name} must be a bigint, not ${kind(value)}`);
  if (BigInt.asUintN(64, value) !== value) throw new RangeError(`${name} must fit 64 bits, not ${value}`);
}

function kind(value: unknown): string {
  return value === null ? 'null' : Array.isArray(value) ? 'an array' : typeof value;
}
