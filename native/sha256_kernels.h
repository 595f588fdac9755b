// The interface of the kernels to the scheduler in sha256.cc. A kernel file has no state and does not use another.
#pragma once

#include <cstddef>
#include <cstdint>

namespace coldsnap {

// One lane: a chaining value (a…h) and the position in its message.
struct Lane {
  uint32_t* chain;
  const uint8_t* data;
};

// Compresses `blocks` (at least 1) blocks of 64 bytes of each of the function's lanes. Does not advance `data`.
using CompressFn = void (*)(const Lane* lanes, size_t blocks);

// One way of compressing several messages together.
struct Width {
  size_t lanes;
  // Fewer messages than this are faster with the next width of the kernel; between this and `lanes`, lanes idle.
  size_t at_least;
  CompressFn compress;
};

constexpr size_t kMaxLanes = 16;

extern const uint32_t kSha256Constants[64];

void CompressPortable(const Lane* lanes, size_t blocks);

#if defined(__x86_64__)
bool HasShaNi();
void CompressShaNi1(const Lane* lanes, size_t blocks);
void CompressShaNi2(const Lane* lanes, size_t blocks);
void CompressShaNi3(const Lane* lanes, size_t blocks);
void CompressShaNi4(const Lane* lanes, size_t blocks);
bool HasAvx2();
void CompressAvx2(const Lane* lanes, size_t blocks);  // 8 lanes
bool HasAvx512();
void CompressAvx512(const Lane* lanes, size_t blocks);  // 16 lanes
#elif defined(__aarch64__)
bool HasArmSha2();
void CompressArm1(const Lane* lanes, size_t blocks);
void CompressArm2(const Lane* lanes, size_t blocks);
void CompressArm3(const Lane* lanes, size_t blocks);
void CompressArm4(const Lane* lanes, size_t blocks);
#endif

}  // namespace coldsnap
