// SHA-256 of 16 messages side by side in AVX-512 registers, where a rotation and any function of three words are one
// instruction each.
#if defined(__x86_64__)

#if defined(__GNUC__) && !defined(__clang__)
// GCC's own AVX-512 intrinsics trip these warnings (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif

#include <immintrin.h>

#include "sha256_kernels.h"

#define AVX512 __attribute__((target("avx512f,avx512bw")))
#define AVX512_INLINE AVX512 inline __attribute__((always_inline))

namespace coldsnap {

namespace {

using V = __m512i;

// Truth tables for vpternlog.
constexpr int kXor3 = 0x96;
constexpr int kChoose = 0xCA;
constexpr int kMajority = 0xE8;

AVX512_INLINE V Add(V a, V b) { return _mm512_add_epi32(a, b); }
AVX512_INLINE V Xor3(V a, V b, V c) { return _mm512_ternarylogic_epi32(a, b, c, kXor3); }

// Turns 16 rows of 16 words into 16 columns: words within 128-bit quarters first, then the quarters.
AVX512_INLINE void Transpose(V r[16]) {
  V t[16];
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {
    const V lo01 = _mm512_unpacklo_epi32(r[i], r[i + 1]), hi01 = _mm512_unpackhi_epi32(r[i], r[i + 1]);
    const V lo23 = _mm512_unpacklo_epi32(r[i + 2], r[i + 3]), hi23 = _mm512_unpackhi_epi32(r[i + 2], r[i + 3]);
    t[i] = _mm512_unpacklo_epi64(lo01, lo23);
    t[i + 1] = _mm512_unpackhi_epi64(lo01, lo23);
    t[i + 2] = _mm512_unpacklo_epi64(hi01, hi23);
    t[i + 3] = _mm512_unpackhi_epi64(hi01, hi23);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++) {
    const V even03 = _mm512_shuffle_i32x4(t[i], t[i + 4], 0x88), odd03 = _mm512_shuffle_i32x4(t[i], t[i + 4], 0xDD);
    const V even8 = _mm512_shuffle_i32x4(t[i + 8], t[i + 12], 0x88), odd8 = _mm512_shuffle_i32x4(t[i + 8], t[i + 12], 0xDD);
    r[i] = _mm512_shuffle_i32x4(even03, even8, 0x88);
    r[i + 8] = _mm512_shuffle_i32x4(even03, even8, 0xDD);
    r[i + 4] = _mm512_shuffle_i32x4(odd03, odd8, 0x88);
    r[i + 12] = _mm512_shuffle_i32x4(odd03, odd8, 0xDD);
  }
}

}  // namespace

AVX512 void CompressAvx512(const Lane* lanes, size_t blocks) {
  const V swap = _mm512_broadcast_i32x4(_mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3));
  const uint8_t* data[16];
  alignas(64) uint32_t words[8][16];
  for (int l = 0; l < 16; l++) {
    data[l] = lanes[l].data;
    for (int i = 0; i < 8; i++) words[i][l] = lanes[l].chain[i];
  }
  V chain[8];
  for (int i = 0; i < 8; i++) chain[i] = _mm512_load_si512(words[i]);
  for (; blocks > 0; blocks--) {
    V w[16], s[8];
#pragma GCC unroll 16
    for (int l = 0; l < 16; l++) {
      w[l] = _mm512_shuffle_epi8(_mm512_loadu_si512(data[l]), swap);
      // 16 streams are more than the hardware prefetcher follows.
      _mm_prefetch(reinterpret_cast<const char*>(data[l]) + 512, _MM_HINT_T0);
      data[l] += 64;
    }
    Transpose(w);
    for (int i = 0; i < 8; i++) s[i] = chain[i];
#pragma GCC unroll 64
    for (int i = 0; i < 64; i++) {
      if (i >= 16) {
        const V x = w[(i + 1) & 15], y = w[(i + 14) & 15];
        const V small0 = Xor3(_mm512_ror_epi32(x, 7), _mm512_ror_epi32(x, 18), _mm512_srli_epi32(x, 3));
        const V small1 = Xor3(_mm512_ror_epi32(y, 17), _mm512_ror_epi32(y, 19), _mm512_srli_epi32(y, 10));
        w[i & 15] = Add(Add(w[i & 15], small0), Add(w[(i + 9) & 15], small1));
      }
      const V a = s[(64 - i) & 7], b = s[(65 - i) & 7], c = s[(66 - i) & 7];
      const V e = s[(68 - i) & 7], f = s[(69 - i) & 7], g = s[(70 - i) & 7];
      V& d = s[(67 - i) & 7];
      V& h = s[(71 - i) & 7];
      const V big1 = Xor3(_mm512_ror_epi32(e, 6), _mm512_ror_epi32(e, 11), _mm512_ror_epi32(e, 25));
      const V big0 = Xor3(_mm512_ror_epi32(a, 2), _mm512_ror_epi32(a, 13), _mm512_ror_epi32(a, 22));
      const V k = _mm512_set1_epi32(static_cast<int>(kSha256Constants[i]));
      // big1 takes longest and the next round waits for d: added last.
      const V partial = Add(Add(h, Add(k, w[i & 15])), _mm512_ternarylogic_epi32(e, f, g, kChoose));
      d = Add(Add(d, partial), big1);
      h = Add(Add(partial, Add(big0, _mm512_ternarylogic_epi32(a, b, c, kMajority))), big1);
    }
    for (int i = 0; i < 8; i++) chain[i] = Add(chain[i], s[i]);
  }
  for (int i = 0; i < 8; i++) _mm512_store_si512(words[i], chain[i]);
  for (int l = 0; l < 16; l++) {
    for (int i = 0; i < 8; i++) lanes[l].chain[i] = words[i][l];
  }
}

}  // namespace coldsnap

#endif
