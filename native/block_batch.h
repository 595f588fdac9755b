// A batch of blocks, off the main thread: zero test, SHA-256 of many at once, positioned writes, reads or comparisons.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "sha256.h"
#include "sys_error.h"
#include "zero.h"

namespace coldsnap {

enum class ZeroPolicy : uint8_t { kSkip, kZero, kWrite };
enum class BlockOutcome : uint8_t { kWritten, kZero, kMismatch };

struct ReceivedBlock {
  const uint8_t* data = nullptr;
  size_t length = 0;
  uint64_t offset = 0;
  Digest digest{};
  bool verified = false;  // the data are known to have the digest, and are not hashed
  BlockOutcome outcome = BlockOutcome::kMismatch;
};

// Checks all blocks first; then writes those with the right digest, in order, and zeroes the zero blocks, until a call
// fails (the error then has the offset of the block, or of the first of the zero blocks that were to be zeroed together).
// With `fd` -1 blocks are only checked.
SysError WriteBlocks(int fd, std::vector<ReceivedBlock>* blocks, ZeroPolicy policy, ZeroMethod* method);

struct Comparison {
  bool equal = false;
  size_t bytes_read = 0;
};

struct Buffer {
  uint8_t* data = nullptr;
  size_t length = 0;
};

// Checks all blocks; then compares those with the right digest, in order, with what the file has at their offsets, which is
// read into `buffer`, in parts if it is smaller than a block. Past the end of the file blocks are compared with zeros, which
// `bytes_read` does not count.
SysError CompareBlocks(int fd, std::vector<ReceivedBlock>* blocks, Buffer buffer, std::vector<Comparison>* results);

struct BlockRead {
  uint8_t* data = nullptr;
  size_t length = 0;
  uint64_t offset = 0;
  size_t bytes_read = 0;
  bool zero = false;
  Digest digest{};
};

SysError ReadBlocks(int fd, std::vector<BlockRead>* blocks, bool hash);

}  // namespace coldsnap
