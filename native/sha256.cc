#include "sha256.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <map>
#include <mutex>

#include "sha256_kernels.h"
#include "sha256_select.h"

namespace coldsnap {

namespace {

constexpr std::array<uint32_t, 8> kInitial = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                              0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

// The padding: what remains of the message after its full blocks, 0x80, zeros, and the length in bits. 1 or 2 blocks.
size_t Pad(const uint8_t* rest, size_t rest_length, uint64_t length, uint8_t out[128]) {
  const size_t blocks = rest_length < 56 ? 1 : 2;
  memset(out, 0, 128);
  if (rest_length > 0) memcpy(out, rest, rest_length);
  out[rest_length] = 0x80;
  const uint64_t bits = __builtin_bswap64(length * 8);
  memcpy(out + blocks * 64 - 8, &bits, 8);
  return blocks;
}

Digest ToDigest(const uint32_t chain[8]) {
  Digest digest;
  for (size_t i = 0; i < 8; i++) {
    const uint32_t word = __builtin_bswap32(chain[i]);
    memcpy(&digest[4 * i], &word, 4);
  }
  return digest;
}

// A message on its way through a lane: first its full blocks where they lie, then its padding.
struct Run {
  size_t index = 0;
  std::array<uint32_t, 8> chain;
  const uint8_t* body = nullptr;
  size_t body_blocks = 0;
  uint8_t padding[128];
  size_t padding_done = 0;
  size_t padding_blocks = 0;

  void Begin(size_t message_index, const Message& message) {
    const size_t rest = message.length % 64;
    index = message_index;
    chain = kInitial;
    body = message.data;
    body_blocks = message.length / 64;
    padding_done = 0;
    padding_blocks = Pad(message.data + (message.length - rest), rest, message.length, padding);
  }
  // The following blocks are contiguous: this many.
  size_t Blocks() const { return body_blocks > 0 ? body_blocks : padding_blocks - padding_done; }
  const uint8_t* Next() const { return body_blocks > 0 ? body : padding + 64 * padding_done; }
  void Advance(size_t blocks) {
    if (body_blocks > 0) {
      body += 64 * blocks;
      body_blocks -= blocks;
    } else {
      padding_done += blocks;
    }
  }
};

std::atomic<const Kernel*>& Active() {
  static std::atomic<const Kernel*> active{Usable().front()};
  return active;
}

}  // namespace

void CompressLanes(const Kernel& kernel, Lane* lanes, size_t count, size_t blocks) {
  while (count > 0) {
    const Width* width = kernel.widths;
    while (count < width->at_least) width++;
    const size_t used = std::min(count, width->lanes);
    Lane padded[kMaxLanes];
    uint32_t unused[8] = {};
    // Idle lanes read what lane 0 reads and their result goes nowhere; all of them may share one place for it.
    for (size_t l = 0; l < width->lanes; l++) padded[l] = l < used ? lanes[l] : Lane{unused, lanes[0].data};
    width->compress(padded, blocks);
    lanes += used;
    count -= used;
  }
}

std::vector<Digest> Sha256With(const Kernel& kernel, const std::vector<Message>& messages) {
  std::vector<Digest> digests(messages.size());
  Run runs[kMaxLanes];
  size_t active = 0;
  size_t next = 0;
  for (;;) {
    while (active < kernel.widths->lanes && next < messages.size()) {
      runs[active++].Begin(next, messages[next]);
      next++;
    }
    if (active == 0) return digests;
    Lane lanes[kMaxLanes];
    size_t step = runs[0].Blocks();
    for (size_t l = 0; l < active; l++) {
      lanes[l] = {runs[l].chain.data(), runs[l].Next()};
      step = std::min(step, runs[l].Blocks());
    }
    CompressLanes(kernel, lanes, active, step);
    for (size_t l = active; l-- > 0;) {
      runs[l].Advance(step);
      if (runs[l].Blocks() > 0) continue;
      digests[runs[l].index] = ToDigest(runs[l].chain.data());
      active--;
      if (l < active) runs[l] = runs[active];
    }
  }
}

std::vector<Digest> Sha256(const std::vector<Message>& messages) {
  return Sha256With(*Active().load(std::memory_order_relaxed), messages);
}

Digest ZeroDigest(size_t length) {
  static std::mutex mutex;
  static std::map<size_t, Digest> known;
  {
    const std::lock_guard<std::mutex> lock(mutex);
    const auto it = known.find(length);
    if (it != known.end()) return it->second;
  }
  static const uint8_t zeros[4096] = {};
  Sha256Stream stream = Sha256Stream::New();
  for (size_t left = length; left > 0;) {
    const size_t step = std::min(left, sizeof zeros);
    stream.Update(zeros, step);
    left -= step;
  }
  const Digest digest = stream.Finish();
  const std::lock_guard<std::mutex> lock(mutex);
  if (known.size() >= 64) known.clear();
  known[length] = digest;
  return digest;
}

Sha256Stream Sha256Stream::New() { return {kInitial, {}, 0}; }

void Sha256Stream::Update(const uint8_t* data, size_t size) {
  const Kernel& kernel = *Active().load(std::memory_order_relaxed);
  const auto compress = [&](const uint8_t* blocks, size_t n) {
    Lane lane{chain.data(), blocks};
    CompressLanes(kernel, &lane, 1, n);
  };
  const size_t held = length % 64;
  length += size;
  if (held > 0) {
    const size_t take = std::min(size, 64 - held);
    if (take > 0) memcpy(&tail[held], data, take);
    data += take;
    size -= take;
    if (held + take < 64) return;
    compress(tail.data(), 1);
  }
  if (size >= 64) compress(data, size / 64);
  if (size % 64 > 0) memcpy(tail.data(), data + (size - size % 64), size % 64);
}

Digest Sha256Stream::Finish() const {
  uint8_t padding[128];
  const size_t blocks = Pad(tail.data(), length % 64, length, padding);
  std::array<uint32_t, 8> last = chain;
  Lane lane{last.data(), padding};
  CompressLanes(*Active().load(std::memory_order_relaxed), &lane, 1, blocks);
  return ToDigest(last.data());
}

std::vector<const char*> Sha256Kernels() {
  std::vector<const char*> names;
  for (const Kernel* kernel : Usable()) names.push_back(kernel->name);
  return names;
}

const char* ActiveSha256Kernel() { return Active().load()->name; }

size_t Sha256Lanes() { return Active().load()->widths->lanes; }

bool UseSha256Kernel(const char* name) {
  for (const Kernel* kernel : Usable()) {
    if (strcmp(kernel->name, name) == 0) {
      Active().store(kernel);
      return true;
    }
  }
  return false;
}

}  // namespace coldsnap
