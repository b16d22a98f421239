//===- GgufTokenizer.h - The vocabulary inside a GGUF file ------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_TOKENIZER_GGUFTOKENIZER_H
#define QWEN_RUNTIME_TOKENIZER_GGUFTOKENIZER_H

#include "runtime/tokenizer/BpeTokenizer.h"

namespace qrt {

/// The `tokenizer.ggml.*` metadata.
struct GgufVocabulary {
  std::string model; ///< gpt2 | llama
  std::string pre = "default";
  std::vector<std::string> tokens;
  /// 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte; empty:
  /// all normal.
  std::vector<int64_t> types;
  std::vector<double> scores;      ///< llama
  std::vector<std::string> merges; ///< gpt2
  std::optional<uint64_t> bos, eos, unknown;
  std::optional<bool> addBos, addSpacePrefix;
};

/// Errors: Q4002 (a kind of vocabulary that is not supported), Q4003, Q4004.
Expected<std::unique_ptr<Tokenizer>>
tokenizerFromVocabulary(GgufVocabulary vocabulary, const std::string &where);

} // namespace qrt

#endif // QWEN_RUNTIME_TOKENIZER_GGUFTOKENIZER_H
