//===- Sha256.cpp - SHA-256 -----------------------------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// FIPS 180-4. The constants are the fractional parts of the roots of the first
// primes, computed here in integers.
//
//===----------------------------------------------------------------------===//

#include "runtime/data/Sha256.h"

#include <array>
#include <cstdint>

namespace qrt {

namespace {

using Wide = unsigned __int128;

/// The first 32 bits behind the point of the `power`-th root of n: the integer
/// part of root(n * 2^(32 * power)), without what stands before the point.
uint32_t rootFraction(unsigned n, int power) {
  uint64_t low = 0, high = uint64_t(1) << 37; // roots are below 20
  while (high - low > 1) {
    uint64_t middle = (low + high) / 2;
    // middle^power <= n * 2^(32 power), without overflowing 128 bits.
    Wide square = Wide(middle) * middle;
    bool fits = power == 2 ? square <= Wide(n) << 64
                           : square <= (Wide(n) << 96) / middle;
    (fits ? low : high) = middle;
  }
  return uint32_t(low);
}

struct Constants {
  std::array<uint32_t, 64> k;
  std::array<uint32_t, 8> start;

  Constants() {
    size_t found = 0;
    for (unsigned n = 2; found < k.size(); ++n) {
      bool prime = true;
      for (unsigned d = 2; d * d <= n; ++d)
        prime &= n % d != 0;
      if (!prime)
        continue;
      if (found < start.size())
        start[found] = rootFraction(n, 2);
      k[found++] = rootFraction(n, 3);
    }
  }
};

uint32_t rotate(uint32_t x, int n) { return x >> n | x << (32 - n); }

void compress(std::array<uint32_t, 8> &state, const unsigned char *block,
              const std::array<uint32_t, 64> &k) {
  uint32_t w[64];
  for (int i = 0; i < 16; ++i)
    w[i] = uint32_t(block[4 * i]) << 24 | uint32_t(block[4 * i + 1]) << 16 |
           uint32_t(block[4 * i + 2]) << 8 | block[4 * i + 3];
  for (int i = 16; i < 64; ++i) {
    uint32_t a = w[i - 15], b = w[i - 2];
    w[i] = w[i - 16] + (rotate(a, 7) ^ rotate(a, 18) ^ a >> 3) + w[i - 7] +
           (rotate(b, 17) ^ rotate(b, 19) ^ b >> 10);
  }
  std::array<uint32_t, 8> s = state;
  for (int i = 0; i < 64; ++i) {
    uint32_t t1 = s[7] +
                  (rotate(s[4], 6) ^ rotate(s[4], 11) ^ rotate(s[4], 25)) +
                  ((s[4] & s[5]) ^ (~s[4] & s[6])) + k[size_t(i)] + w[i];
    uint32_t t2 = (rotate(s[0], 2) ^ rotate(s[0], 13) ^ rotate(s[0], 22)) +
                  ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
    s = {t1 + t2, s[0], s[1], s[2], s[3] + t1, s[4], s[5], s[6]};
  }
  for (size_t i = 0; i < 8; ++i)
    state[i] += s[i];
}

} // namespace

std::string sha256Hex(std::string_view bytes) {
  static const Constants constants;
  std::array<uint32_t, 8> state = constants.start;
  uint64_t bits = uint64_t(bytes.size()) * 8;
  while (bytes.size() >= 64) {
    compress(state, reinterpret_cast<const unsigned char *>(bytes.data()),
             constants.k);
    bytes.remove_prefix(64);
  }
  std::string tail(bytes);
  tail += char(0x80);
  while (tail.size() % 64 != 56)
    tail += '\0';
  for (int shift = 56; shift >= 0; shift -= 8)
    tail += char(bits >> shift);
  for (size_t at = 0; at < tail.size(); at += 64)
    compress(state, reinterpret_cast<const unsigned char *>(tail.data()) + at,
             constants.k);
  std::string out;
  for (uint32_t word : state)
    for (int shift = 28; shift >= 0; shift -= 4)
      out += "0123456789abcdef"[word >> shift & 15];
  return out;
}

} // namespace qrt
