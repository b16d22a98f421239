//===- Utf8.h - UTF-8 and the byte alphabet of GPT-2 ------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_TOKENIZER_UTF8_H
#define QWEN_RUNTIME_TOKENIZER_UTF8_H

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace qrt {

/// What stands at one place of a byte string.
struct Utf8Char {
  uint32_t codePoint = 0;
  /// Bytes taken: those of the character, or, where `valid` is false, those of
  /// the longest beginning of a character (at least 1), which is what one
  /// U+FFFD stands for.
  uint32_t length = 0;
  bool valid = false;
  /// Not valid, but only because the string ends too early.
  bool truncated = false;
};

/// Decodes the character at `at` (which is inside the string): no surrogates,
/// no overlong forms, nothing above U+10FFFF.
Utf8Char decodeUtf8(std::string_view text, size_t at);

void appendUtf8(std::string &out, uint32_t codePoint);

/// Length of the longest prefix that is valid UTF-8.
size_t validUtf8Prefix(std::string_view text);

/// Bytes at the end (0..3) that begin a character and could still become one.
size_t incompleteUtf8Tail(std::string_view text);

/// Every part that is not UTF-8 becomes U+FFFD.
std::string toValidUtf8(std::string_view text);

/// Unicode's White_Space property.
bool isWhiteSpace(uint32_t codePoint);

/// The character that stands for a byte in byte-level vocabularies (GPT-2's
/// table: printable Latin-1 stands for itself, the rest follows from U+0100).
uint32_t byteToChar(uint8_t byte);

/// The text form of bytes in that alphabet.
std::string bytesToText(std::string_view bytes);

/// The reverse; nothing if a character stands for no byte.
std::optional<std::string> textToBytes(std::string_view text);

} // namespace qrt

#endif // QWEN_RUNTIME_TOKENIZER_UTF8_H
