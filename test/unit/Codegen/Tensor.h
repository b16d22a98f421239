//===- Tensor.h - Operands of kernels under test ----------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_TEST_UNIT_CODEGEN_TENSOR_H
#define QWEN_TEST_UNIT_CODEGEN_TENSOR_H

#include <cstring>
#include <random>

#include "test/unit/Codegen/KernelRunner.h"

namespace qwen::testing {

/// f32 or bf16 elements with guards before and behind, aligned to the element
/// only: a parameter may be anywhere in a mapped file.
class Tensor {
public:
  /// Zeros, or standard normals from `seed` times `scale`.
  Tensor(int64_t count, bool bf16, unsigned seed = 0, float scale = 1)
      : count(count), width(bf16 ? 2 : 4),
        memory((count + 2 * kGuard) * width, kPattern) {
    std::mt19937 generator(seed);
    std::normal_distribution<float> normal(0, scale);
    for (int64_t i = 0; i < count; ++i)
      set(i, seed ? normal(generator) : 0.0f);
  }
  void *data() { return memory.data() + kGuard * width; }
  float at(int64_t i) const {
    const char *place = memory.data() + (kGuard + i) * width;
    if (width == 2) {
      uint16_t bits;
      std::memcpy(&bits, place, 2);
      return fromBf16(bits);
    }
    float value;
    std::memcpy(&value, place, 4);
    return value;
  }
  void set(int64_t i, float value) {
    char *place = memory.data() + (kGuard + i) * width;
    uint16_t bits = toBf16(value);
    std::memcpy(place, width == 2 ? (void *)&bits : (void *)&value, width);
  }
  int64_t size() const { return count; }
  const std::vector<char> &bytes() const { return memory; }
  /// True if nothing was written before or behind.
  bool isIntact() const {
    for (int64_t i = 0; i < kGuard * width; ++i)
      if (memory[i] != kPattern || memory[memory.size() - 1 - i] != kPattern)
        return false;
    return true;
  }

private:
  // Odd, so that f32 data is not aligned to 64 bytes.
  static constexpr int64_t kGuard = 33;
  static constexpr char kPattern = 0x5a;
  int64_t count, width;
  std::vector<char> memory;
};

} // namespace qwen::testing

#endif // QWEN_TEST_UNIT_CODEGEN_TENSOR_H
