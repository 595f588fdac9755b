// SHA-256 of one message or of many at once, by the fastest kernel of this machine that passes the self-test.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace coldsnap {

using Digest = std::array<uint8_t, 32>;

struct Message {
  const uint8_t* data = nullptr;
  size_t length = 0;
};

// Hashes all messages, as many at once as the kernel has lanes. Lengths may differ; equal ones are fastest.
std::vector<Digest> Sha256(const std::vector<Message>& messages);

// The digest of `length` zero bytes, cached for recent lengths.
Digest ZeroDigest(size_t length);

// A SHA-256 in progress: the chaining value, the bytes that do not fill a 64-byte block yet, and the length so far.
struct Sha256Stream {
  std::array<uint32_t, 8> chain;
  std::array<uint8_t, 64> tail;
  uint64_t length;

  static Sha256Stream New();
  void Update(const uint8_t* data, size_t length);
  // Does not change the stream, so that it can continue.
  Digest Finish() const;
};

// Names of the kernels that this machine can run and that passed the self-test, fastest first.
std::vector<const char*> Sha256Kernels();
const char* ActiveSha256Kernel();
// How many messages of equal length the active kernel hashes fastest in one call.
size_t Sha256Lanes();
// For tests. False when there is no such kernel here.
bool UseSha256Kernel(const char* name);

}  // namespace coldsnap
