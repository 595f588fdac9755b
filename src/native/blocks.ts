import { addon, settled } from './addon.ts';
import {
  checkArray,
  checkBoolean,
  checkBytes,
  checkChoice,
  checkData,
  checkDigest,
  checkFd,
  checkRange,
} from './validate.ts';

/**
 * The treatment of a received block that is all zeros: `skip` does not touch the range (a hole on a new file), `zero` makes
 * the range read as zeros by the best method that works, `write` writes the zeros like any data.
 */
export type ZeroPolicy = 'skip' | 'zero' | 'write';

/**
 * The outcome for one received block. `zero`: all zeros, and skipped or zeroed by policy (with the policy `write` it is
 * `written`). `mismatch`: the checksum was wrong and nothing was written.
 */
export type BlockOutcome = 'written' | 'zero' | 'mismatch';

/** Ways to make a range read as zeros, best first; `write` always works. */
export type ZeroMethod = 'blkzeroout' | 'zero-range' | 'punch-hole' | 'write';

/** A block as it arrived, and its place. */
export interface ReceivedBlock {
  /** The data; its length is the block's length. Not to be changed until the promise settles. */
  data: Uint8Array;
  /** Byte offset in the file, 0 … 2^53-1. */
  offset: number;
  /** The SHA-256 (32 bytes) the data must have. */
  digest: Uint8Array;
}

export interface BlockWrite extends ReceivedBlock {
  /** The data are known to have this digest, and are not hashed again. Default false. */
  verified?: boolean;
}

export interface BlockRead {
  /** Buffer to fill completely. Not to be touched until the promise settles. */
  data: Uint8Array;
  /** Byte offset in the file, 0 … 2^53-1. */
  offset: number;
}

/** One block read: its SHA-256, whether it is all zeros, and how many bytes the file had (fewer at its end; the rest is zero-filled). */
export interface BlockReadResult {
  /** Empty when no hash was asked for. */
  digest: Uint8Array;
  zero: boolean;
  bytesRead: number;
}

/** One block compared with a file. */
export interface BlockComparison {
  /** `written`: the data have their digest; `zero`: and are all zeros; `mismatch`: they have another, and were not compared. */
  outcome: BlockOutcome;
  /** Whether the file has the same bytes there; past its end it counts as zeros. False after a mismatch. */
  equal: boolean;
  /** How many bytes the file had; 0 after a mismatch. */
  bytesRead: number;
}

// In the order of the enums in native/block_batch.h and native/zero.h.
const policies: readonly ZeroPolicy[] = ['skip', 'zero', 'write'];
const outcomes: readonly BlockOutcome[] = ['written', 'zero', 'mismatch'];
const methods: readonly ZeroMethod[] = ['blkzeroout', 'zero-range', 'punch-hole', 'write'];

/**
 * Checks received blocks (up to 1,024) and puts the right ones in place, in one thread-pool call: zero test, SHA-256 (blocks of
 * equal length together), and only if that is right the write, in the order given; zero blocks after them, neighbours
 * together.
 *
 * With `fd` -1 (and policy `skip`) the blocks are only checked: `written` then means "right, and not zeros".
 * `zeroMethod` is the first method to try; the result has the one that worked, for the next call.
 * Clears O_DIRECT on a descriptor where it makes a call fail (EINVAL).
 *
 * Rejects with a SystemCallError with the failing block's `offset`; blocks before it were written, later ones perhaps not.
 */
export async function writeBlocks(
  fd: number,
  blocks: readonly BlockWrite[],
  options: { zero: ZeroPolicy; zeroMethod: ZeroMethod },
): Promise<{ outcomes: BlockOutcome[]; zeroMethod: ZeroMethod }> {
  checkFd(fd, -1);
  const policy = checkChoice('zero', options.zero, policies);
  const method = checkChoice('zeroMethod', options.zeroMethod, methods);
  if (fd === -1 && options.zero !== 'skip')
    throw new RangeError(`fd -1 needs the zero policy skip, not ${options.zero}`);
  const { data, offsets, digests } = packed(blocks);
  const verified = new Uint8Array(blocks.length);
  for (const [i, block] of blocks.entries()) {
    if (block.verified === undefined) continue;
    checkBoolean(`blocks[${i}].verified`, block.verified);
    verified[i] = Number(block.verified);
  }
  const result = await settled(addon().writeBlocks(fd, policy, method, offsets, digests, verified, ...data));
  const zeroMethod = methods[result.pop()!]!;
  return { outcomes: result.map((outcome) => outcomes[outcome]!), zeroMethod };
}

/**
 * Checks received blocks (up to 1,024) and compares the right ones with what a file has in their places, in one
 * thread-pool call. Rejects with a SystemCallError with the failing block's `offset`.
 *
 * @param buffer receives what the file has; as large as a block, or blocks are read in parts. Not to be touched until the
 *   promise settles
 */
export async function compareBlocks(
  fd: number,
  blocks: readonly ReceivedBlock[],
  buffer: Uint8Array,
): Promise<BlockComparison[]> {
  checkFd(fd);
  const { data, offsets, digests } = packed(blocks);
  checkData('buffer', buffer);
  if (buffer.length === 0) throw new RangeError('buffer must not be empty');
  const results = await settled(addon().compareBlocks(fd, offsets, digests, buffer, ...data));
  return results.map((result) => ({ ...result, outcome: outcomes[result.outcome]! }));
}

/**
 * Reads up to 1,024 blocks completely, with zeros past the end of the file. Returns for each whether it is all zeros and, with
 * `hash`, its SHA-256. Rejects with a SystemCallError with the failing block's `offset`.
 */
export async function readBlocks(
  fd: number,
  reads: readonly BlockRead[],
  options: { hash: boolean },
): Promise<BlockReadResult[]> {
  checkFd(fd);
  checkArray('reads', reads);
  checkBoolean('hash', options.hash);
  checkCount('reads', reads);
  const data: Uint8Array[] = [];
  const offsets = new Float64Array(reads.length);
  for (const [i, read] of reads.entries()) {
    const { data: bytes, offset } = read;
    checkData(`reads[${i}].data`, bytes);
    checkBlockOffset(i, offset, bytes.length);
    data.push(bytes);
    offsets[i] = offset;
  }
  return settled(addon().readBlocks(fd, options.hash, offsets, ...data));
}

/**
 * Makes a range read as zeros; starts with `method` and falls back as long as the file or device does not support it.
 * Resolves with the method that worked. Never discards (the result of a discard is undefined). Ends that are not
 * multiples of 4,096 are written.
 *
 * Rejects with a SystemCallError when a method failed (`EIO`, `ENOSPC`, …).
 */
export async function zeroRange(
  fd: number,
  offset: number,
  length: number,
  method: ZeroMethod,
): Promise<ZeroMethod> {
  checkFd(fd);
  checkRange(offset, length);
  const start = checkChoice('method', method, methods);
  return methods[await settled(addon().zeroRange(fd, offset, length, start))]!;
}

/** Validates blocks and puts them into the form that C++ takes. */
function packed(blocks: readonly ReceivedBlock[]): {
  data: Uint8Array[];
  offsets: Float64Array;
  digests: Uint8Array;
} {
  checkArray('blocks', blocks);
  checkCount('blocks', blocks);
  const data: Uint8Array[] = [];
  const offsets = new Float64Array(blocks.length);
  const digests = new Uint8Array(blocks.length * 32);
  for (const [i, { data: bytes, offset, digest }] of blocks.entries()) {
    checkData(`blocks[${i}].data`, bytes);
    checkBlockOffset(i, offset, bytes.length);
    checkDigest(`blocks[${i}].digest`, digest);
    data.push(bytes);
    offsets[i] = offset;
    digests.set(digest, i * 32);
  }
  return { data, offsets, digests };
}

/** More would not be faster, and each is an argument of one call. */
function checkCount(name: string, blocks: readonly unknown[]): void {
  if (blocks.length > 1024) throw new RangeError(`${name} must be at most 1024, not ${blocks.length}`);
}

function checkBlockOffset(i: number, offset: unknown, length: number): asserts offset is number {
  checkBytes(`offset of block ${i}`, offset);
  if (!Number.isSafeInteger(offset + length)) throw new RangeError(`block ${i} must end at most at 2^53-1`);
}
