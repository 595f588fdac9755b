// SHA-256 on the ARMv8 cryptography extensions (Graviton), 1 to 4 lanes.
#if defined(__aarch64__)

#include <arm_neon.h>
#include <asm/hwcap.h>
#include <sys/auxv.h>

#include "sha256_kernels.h"

#define ARMSHA2 __attribute__((target("+crypto")))

namespace coldsnap {

bool HasArmSha2() { return (getauxval(AT_HWCAP) & HWCAP_SHA2) != 0; }

namespace {

template <int L>
ARMSHA2 inline __attribute__((always_inline)) void Compress(const Lane* lanes, size_t blocks) {
  const uint8_t* data[L];
  uint32x4_t abcd[L], efgh[L];
  for (int l = 0; l < L; l++) {
    data[l] = lanes[l].data;
    abcd[l] = vld1q_u32(lanes[l].chain);
    efgh[l] = vld1q_u32(lanes[l].chain + 4);
  }
  for (; blocks > 0; blocks--) {
    uint32x4_t abcd0[L], efgh0[L], w[L][4];
    for (int l = 0; l < L; l++) {
      abcd0[l] = abcd[l];
      efgh0[l] = efgh[l];
      for (int i = 0; i < 4; i++) {
        w[l][i] = vreinterpretq_u32_u8(vrev32q_u8(vld1q_u8(data[l] + 16 * i)));
      }
      data[l] += 64;
    }
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++) {  // four rounds each
      const uint32x4_t k = vld1q_u32(kSha256Constants + 4 * i);
      for (int l = 0; l < L; l++) {
        uint32x4_t& w0 = w[l][i & 3];
        const uint32x4_t kw = vaddq_u32(w0, k);
        const uint32x4_t before = abcd[l];
        abcd[l] = vsha256hq_u32(abcd[l], efgh[l], kw);
        efgh[l] = vsha256h2q_u32(efgh[l], before, kw);
        if (i < 12) {
          w0 = vsha256su1q_u32(vsha256su0q_u32(w0, w[l][(i + 1) & 3]), w[l][(i + 2) & 3], w[l][(i + 3) & 3]);
        }
      }
    }
    for (int l = 0; l < L; l++) {
      abcd[l] = vaddq_u32(abcd[l], abcd0[l]);
      efgh[l] = vaddq_u32(efgh[l], efgh0[l]);
    }
  }
  for (int l = 0; l < L; l++) {
    vst1q_u32(lanes[l].chain, abcd[l]);
    vst1q_u32(lanes[l].chain + 4, efgh[l]);
  }
}

}  // namespace

ARMSHA2 void CompressArm1(const Lane* lanes, size_t blocks) { Compress<1>(lanes, blocks); }
ARMSHA2 void CompressArm2(const Lane* lanes, size_t blocks) { Compress<2>(lanes, blocks); }
ARMSHA2 void CompressArm3(const Lane* lanes, size_t blocks) { Compress<3>(lanes, blocks); }
ARMSHA2 void CompressArm4(const Lane* lanes, size_t blocks) { Compress<4>(lanes, blocks); }

}  // namespace coldsnap

#endif
