#include "sha256_select.h"

#include <cstring>

namespace coldsnap {

namespace {

bool Always() { return true; }

constexpr Width kPortableWidths[] = {{1, 0, CompressPortable}};
constexpr Kernel kPortable = {"portable", Always, kPortableWidths};

#if defined(__x86_64__)
bool HasAvx512AndShaNi() { return HasAvx512() && HasShaNi(); }

constexpr Width kAvx512ShaNiWidths[] = {{16, 11, CompressAvx512}, {4, 4, CompressShaNi4}, {3, 3, CompressShaNi3},
                                        {2, 2, CompressShaNi2},   {1, 0, CompressShaNi1}};
constexpr Width kShaNiWidths[] = {
    {4, 4, CompressShaNi4}, {3, 3, CompressShaNi3}, {2, 2, CompressShaNi2}, {1, 0, CompressShaNi1}};
constexpr Width kAvx512Widths[] = {{16, 2, CompressAvx512}, {1, 0, CompressPortable}};
constexpr Width kAvx2Widths[] = {{8, 4, CompressAvx2}, {1, 0, CompressPortable}};

constexpr Kernel kAvx512ShaNi = {"avx512+sha-ni", HasAvx512AndShaNi, kAvx512ShaNiWidths};
constexpr Kernel kShaNi = {"sha-ni", HasShaNi, kShaNiWidths};
constexpr Kernel kAvx512 = {"avx512", HasAvx512, kAvx512Widths};
constexpr Kernel kAvx2 = {"avx2", HasAvx2, kAvx2Widths};
#elif defined(__aarch64__)
constexpr Width kArmWidths[] = {{4, 4, CompressArm4}, {3, 3, CompressArm3}, {2, 2, CompressArm2}, {1, 0, CompressArm1}};
constexpr Kernel kArm = {"armv8", HasArmSha2, kArmWidths};
#endif

// Each width with different blocks in each lane, two in a row, from different chaining values, against the portable code.
bool WidthAgrees(const Width& width) {
  uint8_t data[kMaxLanes][128];
  uint32_t chain[kMaxLanes][8];
  uint32_t expected[kMaxLanes][8];
  Lane lanes[kMaxLanes];
  uint32_t seed = 0x9e3779b9;
  const auto random = [&seed] { return seed = seed * 1664525 + 1013904223; };
  for (size_t l = 0; l < width.lanes; l++) {
    for (uint8_t& byte : data[l]) byte = static_cast<uint8_t>(random() >> 24);
    for (uint32_t& word : chain[l]) word = random();
    memcpy(expected[l], chain[l], sizeof expected[l]);
    const Lane single{expected[l], data[l]};
    CompressPortable(&single, 2);
    lanes[l] = {chain[l], data[l]};
  }
  width.compress(lanes, 2);
  return memcmp(chain, expected, width.lanes * sizeof chain[0]) == 0;
}

bool Right(const Kernel& kernel) {
  const Width* width = kernel.widths;
  for (;; width++) {
    if (!WidthAgrees(*width)) return false;
    if (width->at_least == 0) return true;
  }
}

}  // namespace

std::vector<const Kernel*> Select(const std::vector<const Kernel*>& kernels) {
  std::vector<const Kernel*> usable;
  for (const Kernel* kernel : kernels) {
    if (kernel->supported() && Right(*kernel)) usable.push_back(kernel);
  }
  return usable;
}

const std::vector<const Kernel*>& Usable() {
  static const std::vector<const Kernel*> usable = Select({
#if defined(__x86_64__)
      &kAvx512ShaNi, &kShaNi, &kAvx512, &kAvx2,
#elif defined(__aarch64__)
      &kArm,
#endif
      &kPortable});
  return usable;
}

}  // namespace coldsnap
