//===- Trainer.h - Making a byte-level vocabulary from text -----*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_TOKENIZER_TRAINER_H
#define QWEN_RUNTIME_TOKENIZER_TRAINER_H

#include "runtime/tokenizer/Tokenizer.h"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace qrt {

struct TokenizerTrainerOptions {
  /// Ids in all: 256 bytes, the merges, the special tokens (the last ids).
  size_t vocabSize = 0;
  /// How text is cut into words: qwen2, gpt-2, llama-bpe.
  std::string pattern = "qwen2";
  std::vector<std::string> special = {"<|endoftext|>"};
  /// Different words kept while counting. When there are more, the rarest are
  /// forgotten, so that memory is bounded on text of any size.
  size_t maxWords = size_t(2) << 20;
};

/// Counts words, then joins the most frequent pair of neighbours again and
/// again. The result depends only on options and text.
class TokenizerTrainer {
public:
  /// Errors: Q4009 (a size that cannot be), Q4002 (unknown pattern).
  static Expected<std::unique_ptr<TokenizerTrainer>>
  create(const TokenizerTrainerOptions &options);
  ~TokenizerTrainer();

  /// Text of the current document, in parts of any size. Errors: Q4007.
  Status feed(std::string_view text);
  Status endDocument();

  /// Errors: Q4009 when the text has too few pairs for the size asked for.
  Expected<std::unique_ptr<Tokenizer>> train();

private:
  struct Counter;
  TokenizerTrainer();

  TokenizerTrainerOptions options;
  std::unique_ptr<Counter> counter;
  std::unique_ptr<Tokenizer> base;
  std::unique_ptr<StreamEncoder> splitter;
};

} // namespace qrt

#endif // QWEN_RUNTIME_TOKENIZER_TRAINER_H
