//===- Printable.cpp - Foreign strings in messages ------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/weights/Printable.h"

#include <fmt/format.h>

namespace qrt {

/// Length of the well-formed UTF-8 sequence at `i`, 0 if there is none.
static size_t sequenceLength(std::string_view text, size_t i) {
  auto byte = [&](size_t k) -> unsigned {
    return k < text.size() ? static_cast<unsigned char>(text[k]) : 0u;
  };
  auto continues = [&](size_t k) { return (byte(k) & 0xC0) == 0x80; };
  unsigned c = byte(i), d = byte(i + 1);
  if (c < 0x80)
    return 1;
  if (c >= 0xC2 && c <= 0xDF)
    return continues(i + 1) ? 2 : 0;
  if (c >= 0xE0 && c <= 0xEF) {
    // No overlong forms, no surrogates.
    if ((c == 0xE0 && d < 0xA0) || (c == 0xED && d > 0x9F))
      return 0;
    return continues(i + 1) && continues(i + 2) ? 3 : 0;
  }
  if (c >= 0xF0 && c <= 0xF4) {
    if ((c == 0xF0 && d < 0x90) || (c == 0xF4 && d > 0x8F))
      return 0;
    return continues(i + 1) && continues(i + 2) && continues(i + 3) ? 4 : 0;
  }
  return 0;
}

std::string printable(std::string_view text, size_t limit) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    if (out.size() >= limit)
      return out + "...";
    auto c = static_cast<unsigned char>(text[i]);
    size_t length = c < 0x20 || c == 0x7F ? 0 : sequenceLength(text, i);
    // U+0080..U+009F are control characters too.
    if (length == 2 && c == 0xC2 &&
        static_cast<unsigned char>(text[i + 1]) < 0xA0)
      length = 0;
    if (length == 0) {
      out += fmt::format("\\x{:02X}", c);
      ++i;
    } else {
      out += text.substr(i, length);
      i += length;
    }
  }
  return out;
}

bool isUtf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    size_t length = sequenceLength(text, i);
    if (length == 0)
      return false;
    i += length;
  }
  return true;
}

std::string shapeText(const std::vector<int64_t> &shape) {
  std::string out = "[";
  for (size_t i = 0; i < shape.size(); ++i) {
    if (i == 16)
      return out + ", ...]";
    out += fmt::format("{}{}", i ? ", " : "", shape[i]);
  }
  return out + "]";
}

} // namespace qrt
