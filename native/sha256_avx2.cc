// SHA-256 of 8 messages side by side in AVX2 registers: word i of all messages in one register. For processors without
// the SHA extensions (Intel's Xeons before Ice Lake).
#if defined(__x86_64__)

#include <immintrin.h>

#include "sha256_kernels.h"

#define AVX2 __attribute__((target("avx2")))
#define AVX2_INLINE AVX2 inline __attribute__((always_inline))

namespace coldsnap {

namespace {

using V = __m256i;

AVX2_INLINE V Add(V a, V b) { return _mm256_add_epi32(a, b); }
AVX2_INLINE V Xor3(V a, V b, V c) { return _mm256_xor_si256(_mm256_xor_si256(a, b), c); }
template <int N>
AVX2_INLINE V RotateRight(V x) {
  return _mm256_or_si256(_mm256_srli_epi32(x, N), _mm256_slli_epi32(x, 32 - N));
}

// Turns 8 rows of 8 words into 8 columns.
AVX2_INLINE void Transpose(V r[8]) {
  V t[8];
#pragma GCC unroll 4
  for (int i = 0; i < 8; i += 2) {
    t[i] = _mm256_unpacklo_epi32(r[i], r[i + 1]);
    t[i + 1] = _mm256_unpackhi_epi32(r[i], r[i + 1]);
  }
  V u[8];
#pragma GCC unroll 2
  for (int i = 0; i < 8; i += 4) {
    u[i] = _mm256_unpacklo_epi64(t[i], t[i + 2]);
    u[i + 1] = _mm256_unpackhi_epi64(t[i], t[i + 2]);
    u[i + 2] = _mm256_unpacklo_epi64(t[i + 1], t[i + 3]);
    u[i + 3] = _mm256_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++) {
    r[i] = _mm256_permute2x128_si256(u[i], u[i + 4], 0x20);
    r[i + 4] = _mm256_permute2x128_si256(u[i], u[i + 4], 0x31);
  }
}

AVX2_INLINE void LoadHalf(const uint8_t* const data[8], size_t offset, V w[8]) {
  const V swap = _mm256_broadcastsi128_si256(_mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3));
#pragma GCC unroll 8
  for (int l = 0; l < 8; l++) {
    w[l] = _mm256_shuffle_epi8(_mm256_loadu_si256(reinterpret_cast<const V*>(data[l] + offset)), swap);
  }
  Transpose(w);
}

}  // namespace

AVX2 void CompressAvx2(const Lane* lanes, size_t blocks) {
  const uint8_t* data[8];
  V chain[8];
  for (int l = 0; l < 8; l++) {
    data[l] = lanes[l].data;
    chain[l] = _mm256_loadu_si256(reinterpret_cast<const V*>(lanes[l].chain));
  }
  Transpose(chain);
  for (; blocks > 0; blocks--) {
    V w[16], s[8];
    LoadHalf(data, 0, w);
    LoadHalf(data, 32, w + 8);
    for (int i = 0; i < 8; i++) s[i] = chain[i];
#pragma GCC unroll 64
    for (int i = 0; i < 64; i++) {
      if (i >= 16) {
        const V x = w[(i + 1) & 15], y = w[(i + 14) & 15];
        const V small0 = Xor3(RotateRight<7>(x), RotateRight<18>(x), _mm256_srli_epi32(x, 3));
        const V small1 = Xor3(RotateRight<17>(y), RotateRight<19>(y), _mm256_srli_epi32(y, 10));
        w[i & 15] = Add(Add(w[i & 15], small0), Add(w[(i + 9) & 15], small1));
      }
      const V a = s[(64 - i) & 7], b = s[(65 - i) & 7], c = s[(66 - i) & 7];
      const V e = s[(68 - i) & 7], f = s[(69 - i) & 7], g = s[(70 - i) & 7];
      V& d = s[(67 - i) & 7];
      V& h = s[(71 - i) & 7];
      const V choose = _mm256_xor_si256(g, _mm256_and_si256(e, _mm256_xor_si256(f, g)));
      const V majority = _mm256_xor_si256(_mm256_and_si256(a, b), _mm256_and_si256(c, _mm256_xor_si256(a, b)));
      const V big1 = Xor3(RotateRight<6>(e), RotateRight<11>(e), RotateRight<25>(e));
      const V big0 = Xor3(RotateRight<2>(a), RotateRight<13>(a), RotateRight<22>(a));
      const V k = _mm256_set1_epi32(static_cast<int>(kSha256Constants[i]));
      // big1 takes longest and the next round waits for d: added last.
      const V partial = Add(Add(h, Add(k, w[i & 15])), choose);
      d = Add(Add(d, partial), big1);
      h = Add(Add(partial, Add(big0, majority)), big1);
    }
    for (int i = 0; i < 8; i++) {
      chain[i] = Add(chain[i], s[i]);
      data[i] += 64;
    }
  }
  Transpose(chain);
  for (int l = 0; l < 8; l++) _mm256_storeu_si256(reinterpret_cast<V*>(lanes[l].chain), chain[l]);
}

}  // namespace coldsnap

#endif
