// Asks the processor itself (cpuid, xgetbv) which kernels it can run: __builtin_cpu_supports answers no to everything when
// compiled by zig.
#if defined(__x86_64__)

#include <cpuid.h>

#include "sha256_kernels.h"

namespace coldsnap {

namespace {

struct Registers {
  unsigned a = 0, b = 0, c = 0, d = 0;
};

// All zero when the processor has no such leaf.
Registers CpuId(unsigned leaf) {
  Registers r;
  if (!__get_cpuid_count(leaf, 0, &r.a, &r.b, &r.c, &r.d)) return {};
  return r;
}

// The register states that the operating system saves (XCR0): an instruction set works only if its registers are among them.
bool SavesRegisters(unsigned states) {
  if ((CpuId(1).c & bit_OSXSAVE) == 0) return false;
  unsigned low, high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (low & states) == states;
}

bool HasAll(unsigned reg, unsigned bits) { return (reg & bits) == bits; }

constexpr unsigned kAvxStates = 0x06;     // SSE, AVX
constexpr unsigned kAvx512States = 0xe6;  // and opmask, the upper halves of ZMM0–15, ZMM16–31

}  // namespace

bool HasShaNi() { return HasAll(CpuId(1).c, bit_SSE4_1 | bit_SSSE3) && HasAll(CpuId(7).b, bit_SHA); }

bool HasAvx2() { return HasAll(CpuId(7).b, bit_AVX2) && SavesRegisters(kAvxStates); }

bool HasAvx512() { return HasAll(CpuId(7).b, bit_AVX512F | bit_AVX512BW) && SavesRegisters(kAvx512States); }

}  // namespace coldsnap

#endif
