//===- Patterns.h - The known ways to split text into words -----*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_TOKENIZER_PATTERNS_H
#define QWEN_RUNTIME_TOKENIZER_PATTERNS_H

#include <string>
#include <string_view>
#include <vector>

namespace qrt {

/// GPT-2's, the one that a plain `ByteLevel` pre-tokenizer implies.
inline constexpr std::string_view gpt2Pattern =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|"
    "\\s+(?!\\S)|\\s+";

/// Qwen2's to Qwen3's: one digit a word.
inline constexpr std::string_view qwenPattern =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|"
    " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

/// Llama 3's: up to three digits a word.
inline constexpr std::string_view llama3Pattern =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|"
    " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

/// How a named pre-tokenizer (`tokenizer.ggml.pre` of GGUF files) works.
struct PreTokenizerInfo {
  std::vector<std::string_view> patterns; ///< one after another, all isolated
  bool nfc = false;
  bool ignoreMerges = false;
  bool addBos = false; ///< if the file does not say
};

/// Null for a name that is not known.
const PreTokenizerInfo *findPreTokenizer(std::string_view name);
std::vector<std::string> preTokenizerNames();

} // namespace qrt

#endif // QWEN_RUNTIME_TOKENIZER_PATTERNS_H
