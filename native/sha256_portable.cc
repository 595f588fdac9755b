// SHA-256 in plain C++ (FIPS 180-4, section 6.2.2), one lane.
#include <cstring>

#include "sha256_kernels.h"

namespace coldsnap {

alignas(64) const uint32_t kSha256Constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

namespace {

inline uint32_t RotateRight(uint32_t x, int n) { return (x >> n) | (x << (32 - n)); }

inline uint32_t LoadBigEndian(const uint8_t* p) {
  uint32_t word;
  memcpy(&word, p, 4);
  return __builtin_bswap32(word);
}

}  // namespace

void CompressPortable(const Lane* lanes, size_t blocks) {
  uint32_t* chain = lanes[0].chain;
  const uint8_t* data = lanes[0].data;
  for (; blocks > 0; blocks--, data += 64) {
    uint32_t w[16];
    for (int i = 0; i < 16; i++) w[i] = LoadBigEndian(data + 4 * i);
    uint32_t s[8];
    memcpy(s, chain, sizeof s);
#pragma GCC unroll 64
    for (int i = 0; i < 64; i++) {
      if (i >= 16) {
        const uint32_t x = w[(i + 1) & 15];
        const uint32_t y = w[(i + 14) & 15];
        w[i & 15] += (RotateRight(x, 7) ^ RotateRight(x, 18) ^ (x >> 3)) + w[(i + 9) & 15] +
                     (RotateRight(y, 17) ^ RotateRight(y, 19) ^ (y >> 10));
      }
      // The eight variables stay where they are and their roles turn: a is s[-i], e is s[4 - i], and so on.
      const uint32_t a = s[(64 - i) & 7], b = s[(65 - i) & 7], c = s[(66 - i) & 7];
      const uint32_t e = s[(68 - i) & 7], f = s[(69 - i) & 7], g = s[(70 - i) & 7];
      uint32_t& d = s[(67 - i) & 7];
      uint32_t& h = s[(71 - i) & 7];
      const uint32_t t = h + (RotateRight(e, 6) ^ RotateRight(e, 11) ^ RotateRight(e, 25)) + (g ^ (e & (f ^ g))) +
                         kSha256Constants[i] + w[i & 15];
      d += t;
      h = t + (RotateRight(a, 2) ^ RotateRight(a, 13) ^ RotateRight(a, 22)) + ((a & b) ^ (c & (a ^ b)));
    }
    for (int i = 0; i < 8; i++) chain[i] += s[i];
  }
}

}  // namespace coldsnap
