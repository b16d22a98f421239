//===- Printable.h - Foreign strings in messages ----------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_WEIGHTS_PRINTABLE_H
#define QWEN_RUNTIME_WEIGHTS_PRINTABLE_H

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace qrt {

/// A string from a file in a form fit for one line of a terminal: control
/// characters and invalid UTF-8 become \xNN, and more than `limit` bytes are
/// cut ("...").
std::string printable(std::string_view text, size_t limit = 120);

/// True if the bytes are well-formed UTF-8.
bool isUtf8(std::string_view text);

/// "[2, 3]"; of a very long one the beginning.
std::string shapeText(const std::vector<int64_t> &shape);

} // namespace qrt

#endif // QWEN_RUNTIME_WEIGHTS_PRINTABLE_H
