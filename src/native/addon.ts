/** The addon's raw functions, as C++ exports them. Only src/native calls these: C++ trusts its arguments. */
import { getSystemErrorMap } from 'node:util';
import { loadAddon } from './load.ts';

export interface Addon {
  openExclusive(
    path: string,
    write: boolean,
    direct: boolean,
    dev: bigint,
    ino: bigint,
    rdev: bigint,
  ): Promise<number>;
  deviceFacts(fd: number): Promise<{
    sizeBytes: number;
    logicalBlockSize: number;
    physicalBlockSize: number;
    readOnly: boolean;
  }>;
  rereadPartitionTable(fd: number): Promise<boolean>;
  allocateSlab(bytes: number): ArrayBuffer | Error;
  /** Digests one after another; outcomes as numbers, one a block, and then the zero method that worked. */
  writeBlocks(
    fd: number,
    policy: number,
    method: number,
    offsets: Float64Array,
    digests: Uint8Array,
    ...data: Uint8Array[]
  ): Promise<number[]>;
  readBlocks(
    fd: number,
    hash: boolean,
    offsets: Float64Array,
    ...data: Uint8Array[]
  ): Promise<{ digest: Uint8Array; zero: boolean; bytesRead: number }[]>;
  zeroRange(fd: number, offset: number, length: number, method: number): Promise<number>;
  syncData(fd: number): Promise<void>;
  syncAll(fd: number): Promise<void>;
  tryLock(fd: number): boolean | Error;
  nextExtent(fd: number, offset: number): Promise<{ start: number; end: number } | null>;
  dropCache(fd: number, offset: number, length: number): Promise<void>;
  isZero(data: Uint8Array): boolean;
  sha256(...buffers: Uint8Array[]): Promise<Uint8Array[]>;
  sha256New(): Uint8Array;
  sha256Update(state: Uint8Array, data: Uint8Array): void;
  sha256Digest(state: Uint8Array): Uint8Array;
  sha256Kernels(): { active: string; available: string[]; lanes: number };
  useKernel(name: string): boolean;
}

let loaded: Addon | undefined;

/** The addon, loaded at first use, so that importing this module (for `--help`) costs nothing. */
export function addon(): Addon {
  loaded ??= loadAddon() as Addon;
  return loaded;
}

/** A failed system call, worded like the errors of Node's own fs module. */
export interface SystemCallError extends Error {
  code: string;
  /** Negative. */
  errno: number;
  syscall: string;
  path?: string;
  /** Byte offset of the block that failed, for reads and writes of blocks. */
  offset?: number;
}

/** Errors that the block layer and quotas give and that libuv has no name for; Linux's numbers. */
const furtherErrors: ReadonlyMap<number, readonly [string, string]> = new Map([
  [-37, ['ENOLCK', 'no locks available']],
  [-52, ['EBADE', 'the device is reserved by another host']],
  [-61, ['ENODATA', 'medium error: the data cannot be read']],
  [-67, ['ENOLINK', 'the link to the device has been severed']],
  [-116, ['ESTALE', 'stale file handle']],
  [-117, ['EUCLEAN', 'the file system is damaged']],
  [-121, ['EREMOTEIO', 'the device refused the request']],
  [-122, ['EDQUOT', 'disk quota exceeded']],
  [-123, ['ENOMEDIUM', 'no medium found']],
]);

/** What C++ rejects with: the facts only. */
interface RawFailure {
  errno: number;
  /** The call; an ioctl's name follows in brackets. */
  syscall: string;
  code?: string;
  offset?: number;
}

/** Makes an error from C++ a SystemCallError, with the caller's stack; leaves others alone. */
export function toSystemCallError(error: unknown, path?: string): unknown {
  if (!(error instanceof Error) || !('errno' in error) || !('syscall' in error)) return error;
  const { errno, syscall, code, offset } = error as Error & RawFailure;
  const [name, description] =
    code === 'EINODECHANGED'
      ? [code, 'it is no longer the block device that was looked at']
      : (furtherErrors.get(errno) ?? getSystemErrorMap().get(errno) ?? [`E${-errno}`, 'unknown error']);
  const where = path === undefined ? '' : ` '${path}'`;
  const failure = new Error(`${name}: ${description}, ${syscall}${where}`) as SystemCallError;
  failure.errno = errno;
  failure.code = name;
  failure.syscall = syscall.replace(/\(.*/, '');
  if (path !== undefined) failure.path = path;
  if (offset !== undefined) failure.offset = offset;
  return failure;
}

/** Awaits a promise of the addon and words its failure. */
export async function settled<T>(promise: Promise<T>, path?: string): Promise<T> {
  try {
    return await promise;
  } catch (error) {
    throw toSystemCallError(error, path);
  }
}
