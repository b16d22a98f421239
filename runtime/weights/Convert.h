//===- Convert.h - Conversions of element types -----------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_WEIGHTS_CONVERT_H
#define QWEN_RUNTIME_WEIGHTS_CONVERT_H

#include <cstdint>
#include <cstring>

namespace qrt {

inline float floatOfBits(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

inline uint32_t bitsOfFloat(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  return bits;
}

inline float bf16ToF32(uint16_t h) { return floatOfBits(uint32_t(h) << 16); }

/// Round to nearest, ties to even; NaN stays NaN.
inline uint16_t f32ToBf16(float value) {
  uint32_t bits = bitsOfFloat(value);
  if ((bits & 0x7FFFFFFFu) > 0x7F800000u)
    return static_cast<uint16_t>((bits >> 16) | 0x40u);
  return static_cast<uint16_t>((bits + 0x7FFFu + ((bits >> 16) & 1)) >> 16);
}

inline float f16ToF32(uint16_t h) {
  uint32_t sign = uint32_t(h & 0x8000u) << 16, rest = h & 0x7FFFu;
  // Subnormals: an integer times 2^-24. Else move the exponent's bias.
  float small = static_cast<float>(rest) * 5.9604644775390625e-8f;
  uint32_t normal = (rest << 13) + ((127u - 15u) << 23);
  uint32_t special = (rest << 13) | 0x7F800000u;
  uint32_t bits = rest < 0x400u    ? bitsOfFloat(small)
                  : rest < 0x7C00u ? normal
                                   : special;
  return floatOfBits(sign | bits);
}

} // namespace qrt

#endif // QWEN_RUNTIME_WEIGHTS_CONVERT_H
