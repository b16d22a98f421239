//===- Philox.h - Counter-based random numbers ------------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Philox4x32-10 (Salmon, Moraes, Dror, Shaw, 2011): a pure function of key and
// counter, so a random number depends on what it is for and never on the order
// or the thread in which it is drawn.
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_CORE_PHILOX_H
#define QWEN_RUNTIME_CORE_PHILOX_H

#include <array>
#include <cstdint>
#include <string_view>

namespace qrt {

/// What numbers are for: one seed serves all purposes without correlation.
enum class RandomPurpose : uint32_t {
  Initialisation = 1, ///< stream: hash of the Hugging Face name
  DataOrder = 2,      ///< stream: epoch
  Sampling = 3,       ///< stream: request, counter: position
  Synthesis = 4,      ///< self-made text
};

/// The generator of one (seed, purpose).
class Philox {
public:
  Philox(uint64_t seed, RandomPurpose purpose)
      : seed(mix(seed, static_cast<uint32_t>(purpose))) {}

  /// Four words for a counter in a stream.
  std::array<uint32_t, 4> operator()(uint64_t counter, uint64_t stream) const {
    return rounds(seed, {static_cast<uint32_t>(counter),
                         static_cast<uint32_t>(counter >> 32),
                         static_cast<uint32_t>(stream),
                         static_cast<uint32_t>(stream >> 32)});
  }

  /// The ten rounds themselves.
  static std::array<uint32_t, 4> rounds(uint64_t key,
                                        std::array<uint32_t, 4> counter) {
    auto low = static_cast<uint32_t>(key);
    auto high = static_cast<uint32_t>(key >> 32);
    for (int round = 0; round < 10; ++round) {
      uint64_t a = uint64_t(0xD2511F53u) * counter[0];
      uint64_t b = uint64_t(0xCD9E8D57u) * counter[2];
      counter = {static_cast<uint32_t>(b >> 32) ^ counter[1] ^ low,
                 static_cast<uint32_t>(b),
                 static_cast<uint32_t>(a >> 32) ^ counter[3] ^ high,
                 static_cast<uint32_t>(a)};
      low += 0x9E3779B9u;
      high += 0xBB67AE85u;
    }
    return counter;
  }

private:
  /// A bijection of the seed for each purpose.
  static uint64_t mix(uint64_t seed, uint32_t purpose) {
    uint64_t x = seed + uint64_t(purpose) * 0x9E3779B97F4A7C15u;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    return x ^ (x >> 31);
  }

  uint64_t seed;
};

/// A number in [0, 1) with 53 random bits.
inline double uniformDouble(uint32_t high, uint32_t low) {
  uint64_t bits = (uint64_t(high) << 32 | low) >> 11;
  return static_cast<double>(bits) * 0x1.0p-53;
}

/// A hash of a name that never changes (FNV-1a, 64 bits).
inline uint64_t hashName(std::string_view name) {
  uint64_t hash = 0xCBF29CE484222325u;
  for (char c : name)
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3u;
  return hash;
}

} // namespace qrt

#endif // QWEN_RUNTIME_CORE_PHILOX_H
