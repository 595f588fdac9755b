/**
 * The boundary to the C++ addon: validates every argument, so that C++ receives only good values, and gives each
 * function its types. Work runs on the thread pool; a failed system call rejects with an Error that
 * carries `code`, `errno` (negative), `syscall` and, where known, `path`, like the errors of Node's own fs module
 * (SystemCallError). Wrong arguments throw (or reject with) TypeError or RangeError before anything happens.
 */
export type { SystemCallError } from './addon.ts';
export {
  type BlockComparison,
  type BlockOutcome,
  type BlockRead,
  type BlockReadResult,
  type BlockWrite,
  compareBlocks,
  type ReceivedBlock,
  readBlocks,
  writeBlocks,
  type ZeroMethod,
  type ZeroPolicy,
  zeroRange,
} from './blocks.ts';
export {
  type DeviceInfo,
  deviceInfo,
  type Inode,
  loopFile,
  openExclusive,
  rereadPartitionTable,
} from './device.ts';
export {
  type AttributeName,
  allocateSlab,
  copyAccessList,
  dropCache,
  type Extent,
  getAttribute,
  isZero,
  linkFile,
  nextExtent,
  preload,
  setAttribute,
  syncAll,
  syncData,
  tryLock,
} from './file.ts';
export { Sha256State, sha256, sha256Kernels } from './sha256.ts';
