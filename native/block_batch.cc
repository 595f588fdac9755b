#include "block_batch.h"

#include "block_io.h"

namespace coldsnap {

namespace {

SysError At(SysError error, uint64_t offset) {
  error.offset = static_cast<int64_t>(offset);
  return error;
}

}  // namespace

SysError WriteBlocks(int fd, std::vector<BlockWrite>* blocks, ZeroPolicy policy, ZeroMethod* method) {
  std::vector<Message> messages;
  std::vector<BlockWrite*> hashed;
  for (BlockWrite& block : *blocks) {
    if (IsZero(block.data, block.length)) {
      if (ZeroDigest(block.length) == block.digest) block.outcome = BlockOutcome::kZero;
    } else {
      messages.push_back({block.data, block.length});
      hashed.push_back(&block);
    }
  }
  const std::vector<Digest> digests = Sha256(messages);
  for (size_t i = 0; i < hashed.size(); i++) {
    if (digests[i] == hashed[i]->digest) hashed[i]->outcome = BlockOutcome::kWritten;
  }
  if (fd < 0) return {};

  for (BlockWrite& block : *blocks) {
    SysError error;
    if (block.outcome == BlockOutcome::kZero && policy == ZeroPolicy::kZero) {
      error = ZeroRange(fd, block.offset, block.length, method);
    } else if (block.outcome == BlockOutcome::kZero && policy == ZeroPolicy::kWrite) {
      block.outcome = BlockOutcome::kWritten;
    }
    if (block.outcome == BlockOutcome::kWritten) error = WriteFully(fd, block.data, block.length, block.offset);
    if (error.Failed()) return At(error, block.offset);
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
