//===- Sha256.h - SHA-256 ---------------------------------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_DATA_SHA256_H
#define QWEN_RUNTIME_DATA_SHA256_H

#include <string>
#include <string_view>

namespace qrt {

/// The hash of some bytes as 64 hexadecimal digits.
std::string sha256Hex(std::string_view bytes);

} // namespace qrt

#endif // QWEN_RUNTIME_DATA_SHA256_H
