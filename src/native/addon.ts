/** The addon's raw functions, as C++ exports them. Only src/native calls these: C++ trusts its arguments. */
import { describeErrno, errnoName } from '../errno.ts';
import { isError } from '../errors.ts';
import { loadAddon } from './load.ts';

interface Addon {
  deviceInfo(fd: number): Promise<{ sizeBytes: number; logicalBlockSize: number; readOnly: boolean }>;
  loopFile(fd: number): Promise<{ dev: bigint; ino: bigint; rdev: bigint } | null>;
  rereadPartitionTable(fd: number): Promise<boolean>;
  allocateSlab(bytes: number): ArrayBuffer | Error;
  /** Takes digests one after another, and 1 for each verified block; resolves with one outcome per block, then the zero method that worked. */
  writeBlocks(
    fd: number,
    policy: number,
    method: number,
    offsets: Float64Array,
    digests: Uint8Array,
    verified: Uint8Array,
    ...data: Uint8Array[]
  ): Promise<number[]>;
  compareBlocks(
    fd: number,
    offsets: Float64Array,
    digests: Uint8Array,
    buffer: Uint8Array,
    ...data: Uint8Array[]
  ): Promise<{ outcome: number; equal: boolean; bytesRead: number }[]>;
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
  copyAccessList(from: number, to: number): boolean | Error;
  linkFile(fd: number, path: string): Error | undefined;
  setAttribute(fd: number, name: string, value: string): Error | undefined;
  getAttribute(fd: number, name: string): string | Error;
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

/**
 * The addon, loaded at first use, so that importing this module (for `--help`) costs nothing.
 * @throws ColdsnapError `ADDON_NOT_LOADED`
 */
export function addon(): Addon {
  loaded ??= loadAddon() as Addon;
  return loaded;
}

/** A failed system call, in the form of the errors of Node's fs module. */
export interface SystemCallError extends Error {
  code: string;
  /** Negative. */
  errno: number;
  syscall: string;
  path?: string;
  /** Byte offset of the block that failed, for reads and writes of blocks. */
  offset?: number;
}

/** The rejection of the C++ side, or of Node's fs module. */
interface RawFailure {
  errno: number;
  /** The call; for an ioctl followed by its request in brackets. */
  syscall: string;
  code?: string;
  offset?: number;
}

/** Turns such a rejection into a SystemCallError with the caller's stack; returns other errors unchanged. */
export function toSystemCallError(error: unknown, path?: string): unknown {
  if (!isError(error) || !('errno' in error) || !('syscall' in error)) return error;
  const { errno, syscall, code, offset } = error as Error & RawFailure;
  const name = code ?? errnoName(-errno) ?? `E${-errno}`;
  const where = path === undefined ? '' : ` '${path}'`;
  const failure = new Error(`${name}: ${describeErrno(name)}, ${syscall}${where}`) as SystemCallError;
  failure.errno = errno;
  failure.code = name;
  failure.syscall = syscall.replace(/\(.*/, '');
  if (path !== undefined) failure.path = path;
  if (offset !== undefined) failure.offset = offset;
  return failure;
}

/** Awaits a promise of the addon and turns its rejection into a SystemCallError. */
export async function settled<T>(promise: Promise<T>, path?: string): Promise<T> {
  try {
    return await promise;
  } catch (error) {
    throw toSystemCallError(error, path);
  }
}
