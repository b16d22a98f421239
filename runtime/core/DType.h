//===- DType.h - Element types ----------------------------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_CORE_DTYPE_H
#define QWEN_RUNTIME_CORE_DTYPE_H

#include <cstdint>
#include <optional>
#include <string_view>

namespace qrt {

/// The element types of the ABI (qrt_dtype), by the manifest's names.
enum class DType : int32_t { F32 = 0, BF16, F16, I32, I64, I8, U8 };

inline constexpr std::string_view kDTypeNames[] = {"f32", "bf16", "f16", "i32",
                                                   "i64", "i8",   "u8"};
inline constexpr uint8_t kDTypeBytes[] = {4, 2, 2, 4, 8, 1, 1};

inline std::string_view nameOf(DType type) {
  return kDTypeNames[static_cast<int>(type)];
}
inline int64_t bytesOf(DType type) {
  return kDTypeBytes[static_cast<int>(type)];
}
inline std::optional<DType> parseDType(std::string_view name) {
  for (int i = 0; i < 7; ++i)
    if (kDTypeNames[i] == name)
      return static_cast<DType>(i);
  return std::nullopt;
}

} // namespace qrt

#endif // QWEN_RUNTIME_CORE_DTYPE_H
