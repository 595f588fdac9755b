// SHA-256 on the SHA extensions of x86, 1 to 4 lanes. sha256rnds2 has a long latency, but a new one can start every cycle or
// two, so interleaved messages cost little more than one.
#if defined(__x86_64__)

#include <immintrin.h>

#include "sha256_kernels.h"

#define SHANI __attribute__((target("sha,sse4.1,ssse3")))

namespace coldsnap {

namespace {

template <int L>
SHANI inline __attribute__((always_inline)) void Compress(const Lane* lanes, size_t blocks) {
  const __m128i swap = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);
  const uint8_t* data[L];
  __m128i abef[L], cdgh[L];  // the order sha256rnds2 wants, high word first
  for (int l = 0; l < L; l++) {
    data[l] = lanes[l].data;
    const __m128i dcba = _mm_loadu_si128(reinterpret_cast<const __m128i*>(lanes[l].chain));
    const __m128i hgfe = _mm_loadu_si128(reinterpret_cast<const __m128i*>(lanes[l].chain + 4));
    const __m128i cdab = _mm_shuffle_epi32(dcba, 0xB1);
    const __m128i efgh = _mm_shuffle_epi32(hgfe, 0x1B);
    abef[l] = _mm_alignr_epi8(cdab, efgh, 8);
    cdgh[l] = _mm_blend_epi16(efgh, cdab, 0xF0);
  }
  for (; blocks > 0; blocks--) {
    __m128i abef0[L], cdgh0[L], w[L][4];
    for (int l = 0; l < L; l++) {
      abef0[l] = abef[l];
      cdgh0[l] = cdgh[l];
      for (int i = 0; i < 4; i++) {
        w[l][i] = _mm_shuffle_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(data[l] + 16 * i)), swap);
      }
      data[l] += 64;
    }
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++) {  // four rounds each
      const __m128i k = _mm_load_si128(reinterpret_cast<const __m128i*>(kSha256Constants + 4 * i));
      for (int l = 0; l < L; l++) {
        __m128i& w0 = w[l][i & 3];
        const __m128i w1 = w[l][(i + 1) & 3], w2 = w[l][(i + 2) & 3], w3 = w[l][(i + 3) & 3];
        const __m128i kw = _mm_add_epi32(w0, k);
        cdgh[l] = _mm_sha256rnds2_epu32(cdgh[l], abef[l], kw);
        abef[l] = _mm_sha256rnds2_epu32(abef[l], cdgh[l], _mm_shuffle_epi32(kw, 0x0E));
        if (i < 12) {
          const __m128i sum = _mm_add_epi32(_mm_sha256msg1_epu32(w0, w1), _mm_alignr_epi8(w3, w2, 4));
          w0 = _mm_sha256msg2_epu32(sum, w3);
        }
        // Keeps the lanes in this order: clang's own costs 15 % with four lanes, which then spill more registers.
        asm volatile("" : "+x"(abef[l]), "+x"(cdgh[l]));
      }
    }
    for (int l = 0; l < L; l++) {
      abef[l] = _mm_add_epi32(abef[l], abef0[l]);
      cdgh[l] = _mm_add_epi32(cdgh[l], cdgh0[l]);
    }
  }
  for (int l = 0; l < L; l++) {
    const __m128i feba = _mm_shuffle_epi32(abef[l], 0x1B);
    const __m128i dchg = _mm_shuffle_epi32(cdgh[l], 0xB1);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(lanes[l].chain), _mm_blend_epi16(feba, dchg, 0xF0));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(lanes[l].chain + 4), _mm_alignr_epi8(dchg, feba, 8));
  }
}

}  // namespace

SHANI void CompressShaNi1(const Lane* lanes, size_t blocks) { Compress<1>(lanes, blocks); }
SHANI void CompressShaNi2(const Lane* lanes, size_t blocks) { Compress<2>(lanes, blocks); }
SHANI void CompressShaNi3(const Lane* lanes, size_t blocks) { Compress<3>(lanes, blocks); }
SHANI void CompressShaNi4(const Lane* lanes, size_t blocks) { Compress<4>(lanes, blocks); }

}  // namespace coldsnap

#endif
