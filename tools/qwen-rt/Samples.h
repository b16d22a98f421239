//===- Samples.h - Texts of a model in training -----------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_TOOLS_QWEN_RT_SAMPLES_H
#define QWEN_TOOLS_QWEN_RT_SAMPLES_H

#include "runtime/infer/Generator.h"
#include "runtime/tokenizer/Tokenizer.h"
#include "runtime/train/Trainer.h"

#include <memory>
#include <optional>
#include <vector>

namespace qrt {

/// Continues the prompts of eval.sample_prompts, with the seed of the training
/// and a temperature of 0.8.
class Samples {
public:
  /// `tokenizer`: the text of a tokenizer.json, or empty. Errors: Q8013 (no
  /// tokenizer, no entries for generating, nothing to begin with), the
  /// tokenizer's.
  static Expected<Samples> create(const Manifest &manifest,
                                  const ManifestDefaults &settings,
                                  const std::string &tokenizer);

  /// The session, with the entries prefill and decode, that generates.
  Status bind(SessionGroup &session);
  Expected<std::vector<SampleText>> generate();

private:
  Samples() = default;

  std::unique_ptr<Tokenizer> tokenizer;
  std::vector<std::string> prompts;
  std::vector<std::vector<int32_t>> promptIds;
  GenerateRequest request;
  std::optional<Generator> generator;
};

} // namespace qrt

#endif // QWEN_TOOLS_QWEN_RT_SAMPLES_H
