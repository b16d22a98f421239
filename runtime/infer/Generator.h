//===- Generator.h - Continues a sequence of tokens -------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_INFER_GENERATOR_H
#define QWEN_RUNTIME_INFER_GENERATOR_H

#include "runtime/infer/Sampler.h"
#include "runtime/mesh/SessionGroup.h"

#include <functional>
#include <string>
#include <vector>

namespace qrt {

enum class StopReason { Eos, Stop, Length, Context };
/// "eos", "stop", "length", "context".
std::string_view nameOf(StopReason reason);

struct GenerateRequest {
  std::vector<int32_t> prompt;
  int64_t maxTokens = 256;
  int64_t context = 0; ///< 0: what the module is compiled for
  std::vector<int32_t> eos;
  bool ignoreEos = false;
  std::vector<std::string> stop; ///< needs `textOf`
  SamplingOptions sampling;
  int64_t tokenCount = 0;  ///< ids from here on have no token; 0: all have
  std::vector<bool> valid; ///< empty: all ids below tokenCount
  uint64_t request = 0;    ///< distinguishes requests of one seed

  /// The bytes that a token adds to the text (without special tokens).
  std::function<std::string(int32_t token)> textOf;
  /// Called for every new token; false ends the generation (as `length`).
  std::function<bool(int32_t token)> onToken;
};

struct GenerateResult {
  std::vector<int32_t> ids; ///< new tokens, an end-of-sequence token included
  /// Bytes of text before the stop string that ended it, if one did.
  std::string text;
  StopReason reason = StopReason::Length;
  double promptSeconds = 0; ///< until the first logits
  double firstTokenSeconds = 0;
  double decodeSeconds = 0; ///< for all tokens after the first
  int64_t decodedTokens = 0;
};

/// Generates with the entries prefill and decode of a session, row 0 of its
/// cache.
class Generator {
public:
  /// Errors: Q6041 (the module has no prefill or decode).
  static Expected<Generator> create(SessionGroup &session);

  /// The context that the module is compiled for.
  int64_t context() const { return maxContext; }

  /// Errors: Q7031 (empty prompt, an id beyond the vocabulary), Q7032 (the
  /// prompt is longer than the context), the sampler's.
  Expected<GenerateResult> generate(const GenerateRequest &request);

  /// Runs `tokens` through the model behind the `start` tokens that the cache
  /// already holds; then logits() are those of the last one.
  Status feed(const int32_t *tokens, int64_t count, int64_t start);
  const std::vector<float> &logits() const { return lastLogits; }
  int64_t vocab() const { return static_cast<int64_t>(lastLogits.size()); }

private:
  Generator() = default;

  /// The entries prefill and decode.
  std::vector<GroupCall> calls;
  int64_t maxContext = 0, maxPrefill = 1;
  std::vector<float> lastLogits;
};

} // namespace qrt

#endif // QWEN_RUNTIME_INFER_GENERATOR_H
