// The contents of the bench's snapshots, shared by the load server and the image checker.
//
// A block is one of a few random bodies and a 64-byte trailer that names its snapshot and its index. So every block is
// unique, misplaced and stale blocks are detected, and its SHA-256 takes one compression, because the body's hash state is
// cached.
#pragma once

#include <openssl/evp.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

namespace bench {

constexpr size_t kBlockSize = 524288;
constexpr size_t kTrailerSize = 64;
constexpr size_t kBodySize = kBlockSize - kTrailerSize;
constexpr uint64_t kBlocksPerGib = (1u << 30) / kBlockSize;
constexpr unsigned kBodies = 64;

using Digest = std::array<uint8_t, 32>;

// splitmix64: fast, and random enough to defeat zero tests and compression.
inline uint64_t mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

inline void require(bool ok, const char* what) {
  if (!ok) throw std::runtime_error(what);
}

// `snap-` and hexadecimal digits; the last 16 are the seed of the contents.
inline uint64_t seedOf(const std::string& snapshotId) {
  const size_t digits = snapshotId.find('-') + 1;
  const size_t from = snapshotId.size() > digits + 16 ? snapshotId.size() - 16 : digits;
  return std::strtoull(snapshotId.c_str() + from, nullptr, 16);
}

// The blocks that a snapshot lists: every `every`th of the first `blocks`; `zerosPercent` of those are all zeros.
struct Layout {
  uint64_t blocks = kBlocksPerGib;
  uint64_t every = 1;
  unsigned zerosPercent = 0;

  bool lists(uint64_t block) const { return block < blocks && block % every == 0; }
  uint64_t listed() const { return (blocks + every - 1) / every; }
};

class Contents {
 public:
  Contents() {
    fd_ = memfd_create("bodies", MFD_CLOEXEC);
    const size_t size = (kBodies + 1) * kBlockSize;
    require(fd_ >= 0 && ftruncate(fd_, static_cast<off_t>(size)) == 0, "cannot make the pool of bodies");
    void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
    require(memory != MAP_FAILED, "cannot map the pool of bodies");
    pool_ = static_cast<uint8_t*>(memory);
    uint64_t* words = reinterpret_cast<uint64_t*>(pool_);
    for (size_t i = 0; i < kBodies * kBlockSize / sizeof *words; i++) words[i] = mix(i);
    for (unsigned i = 0; i <= kBodies; i++) {
      EVP_MD_CTX* state = EVP_MD_CTX_new();
      require(state != nullptr && EVP_DigestInit_ex(state, EVP_sha256(), nullptr) == 1 &&
                  EVP_DigestUpdate(state, pool_ + i * kBlockSize, kBodySize) == 1,
              "cannot hash the bodies");
      states_.push_back(state);
    }
    scratch_ = EVP_MD_CTX_new();
    require(scratch_ != nullptr, "cannot hash");
  }
  ~Contents() {
    for (EVP_MD_CTX* state : states_) EVP_MD_CTX_free(state);
    EVP_MD_CTX_free(scratch_);
    munmap(pool_, (kBodies + 1) * kBlockSize);
    close(fd_);
  }
  Contents(const Contents&) = delete;
  Contents& operator=(const Contents&) = delete;

  // The memfd that holds the bodies, for sendfile; body b starts at b * kBlockSize. Body kBodies is all zeros.
  int fd() const { return fd_; }
  const uint8_t* body(unsigned index) const { return pool_ + index * kBlockSize; }

  static unsigned bodyOf(uint64_t seed, uint64_t block, unsigned zerosPercent) {
    const uint64_t hash = mix(mix(seed) ^ block);
    return hash % 100 < zerosPercent ? kBodies : static_cast<unsigned>((hash >> 32) % kBodies);
  }

  static void trailer(uint64_t seed, uint64_t block, unsigned body, uint8_t out[kTrailerSize]) {
    if (body == kBodies) {
      std::memset(out, 0, kTrailerSize);
      return;
    }
    uint64_t words[kTrailerSize / 8];
    words[0] = seed;
    words[1] = block;
    for (unsigned i = 2; i < kTrailerSize / 8; i++) words[i] = mix(words[i - 1] ^ words[i - 2]);
    std::memcpy(out, words, kTrailerSize);
  }

  Digest digest(unsigned body, const uint8_t trailer[kTrailerSize]) const {
    Digest result;
    require(EVP_MD_CTX_copy_ex(scratch_, states_[body]) == 1 &&
                EVP_DigestUpdate(scratch_, trailer, kTrailerSize) == 1 &&
                EVP_DigestFinal_ex(scratch_, result.data(), nullptr) == 1,
            "cannot hash a block");
    return result;
  }

  Digest digestOf(uint64_t seed, uint64_t block, unsigned zerosPercent) const {
    uint8_t tail[kTrailerSize];
    const unsigned index = bodyOf(seed, block, zerosPercent);
    trailer(seed, block, index, tail);
    return digest(index, tail);
  }

 private:
  int fd_;
  uint8_t* pool_;
  std::vector<EVP_MD_CTX*> states_;
  EVP_MD_CTX* scratch_;
};

}  // namespace bench
