#include "block_batch.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "block_io.h"

namespace coldsnap {

namespace {

SysError At(SysError error, uint64_t offset) {
  error.offset = static_cast<int64_t>(offset);
  return error;
}

// Adjacent blocks make one range: the cost of zeroing is per call, not per byte.
SysError ZeroTogether(int fd, std::vector<const ReceivedBlock*> blocks, ZeroMethod* method) {
  std::sort(blocks.begin(), blocks.end(), [](const auto* a, const auto* b) { return a->offset < b->offset; });
  for (size_t i = 0; i < blocks.size();) {
    const uint64_t offset = blocks[i]->offset;
    uint64_t end = offset;
    while (i < blocks.size() && blocks[i]->offset == end) end += blocks[i++]->length;
    const SysError error = ZeroRange(fd, offset, end - offset, method);
    if (error.Failed()) return At(error, offset);
  }
  return {};
}

// Sets each outcome: written, zero or mismatch.
void CheckBlocks(std::vector<ReceivedBlock>* blocks) {
  std::vector<Message> messages;
  std::vector<ReceivedBlock*> hashed;
  for (ReceivedBlock& block : *blocks) {
    if (IsZero(block.data, block.length)) {
      if (block.verified || ZeroDigest(block.length) == block.digest) block.outcome = BlockOutcome::kZero;
    } else if (block.verified) {
      block.outcome = BlockOutcome::kWritten;
    } else {
      messages.push_back({block.data, block.length});
      hashed.push_back(&block);
    }
  }
  const std::vector<Digest> digests = Sha256(messages);
  for (size_t i = 0; i < hashed.size(); i++) {
    if (digests[i] == hashed[i]->digest) hashed[i]->outcome = BlockOutcome::kWritten;
  }
}

SysError Compare(int fd, const ReceivedBlock& block, Buffer buffer, Comparison* result) {
  *result = {true, 0};
  for (size_t done = 0; done < block.length;) {
    const size_t length = std::min(buffer.length, block.length - done);
    size_t bytes_read;
    const SysError error = ReadFully(fd, buffer.data, length, block.offset + done, &bytes_read);
    if (error.Failed()) return At(error, block.offset);
    if (memcmp(buffer.data, block.data + done, length) != 0) result->equal = false;
    result->bytes_read += bytes_read;
    done += length;
  }
  return {};
}

}  // namespace

SysError WriteBlocks(int fd, std::vector<ReceivedBlock>* blocks, ZeroPolicy policy, ZeroMethod* method) {
  CheckBlocks(blocks);
  if (fd < 0) return {};

  std::vector<const ReceivedBlock*> zeros;
  for (ReceivedBlock& block : *blocks) {
    if (block.outcome == BlockOutcome::kZero && policy == ZeroPolicy::kZero) zeros.push_back(&block);
    if (block.outcome == BlockOutcome::kZero && policy == ZeroPolicy::kWrite) block.outcome = BlockOutcome::kWritten;
    if (block.outcome != BlockOutcome::kWritten) continue;
    const SysError error = WriteFully(fd, block.data, block.length, block.offset);
    if (error.Failed()) return At(error, block.offset);
  }
  return ZeroTogether(fd, std::move(zeros), method);
}

SysError CompareBlocks(int fd, std::vector<ReceivedBlock>* blocks, Buffer buffer,
                       std::vector<Comparison>* results) {
  CheckBlocks(blocks);
  results->resize(blocks->size());
  for (size_t i = 0; i < blocks->size(); i++) {
    const ReceivedBlock& block = (*blocks)[i];
    if (block.outcome == BlockOutcome::kMismatch) continue;
    const SysError error = Compare(fd, block, buffer, &(*results)[i]);
    if (error.Failed()) return error;
  }
  return {};
}

SysError ReadBlocks(int fd, std::vector<BlockRead>* blocks, bool hash) {
  std::vector<Message> messages;
  std::vector<BlockRead*> hashed;
  for (BlockRead& block : *blocks) {
    const SysError error = ReadFully(fd, block.data, block.length, block.offset, &block.bytes_read);
    if (error.Failed()) return At(error, block.offset);
    block.zero = IsZero(block.data, block.length);
    if (!hash) continue;
    if (block.zero) {
      block.digest = ZeroDigest(block.length);
    } else {
      messages.push_back({block.data, block.length});
      hashed.push_back(&block);
    }
  }
  const std::vector<Digest> digests = Sha256(messages);
  for (size_t i = 0; i < hashed.size(); i++) hashed[i]->digest = digests[i];
  return {};
}

}  // namespace coldsnap
