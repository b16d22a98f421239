//===- Random.h - Integers that look random ---------------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Functions of their arguments only: nothing depends on threads or on what was
// drawn before.
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_DATA_RANDOM_H
#define QWEN_RUNTIME_DATA_RANDOM_H

#include <cstdint>

namespace qrt {

/// A bijection of 64 bits that scatters them (the finaliser of SplitMix64).
inline uint64_t mixBits(uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
  x = (x ^ x >> 27) * 0x94d049bb133111ebu;
  return x ^ x >> 31;
}

/// A key of several numbers, in this order.
inline uint64_t mixKey(uint64_t a, uint64_t b, uint64_t c = 0) {
  return mixBits(mixBits(mixBits(a) ^ b) ^ c);
}

/// The image of `index` under a permutation of [0, size) chosen by `key`:
/// a Feistel network on the next even number of bits, walked until it is back
/// in range (less than four steps on average).
inline uint64_t permute(uint64_t index, uint64_t size, uint64_t key) {
  int half = 1;
  while (half < 32 && size > uint64_t(1) << (2 * half))
    ++half;
  const uint64_t mask = (uint64_t(1) << half) - 1;
  do {
    uint64_t left = index >> half, right = index & mask;
    for (uint64_t round = 0; round < 6; ++round) {
      uint64_t next = left ^ (mixKey(key, round, right) & mask);
      left = right;
      right = next;
    }
    index = left << half | right;
  } while (index >= size);
  return index;
}

} // namespace qrt

#endif // QWEN_RUNTIME_DATA_RANDOM_H
