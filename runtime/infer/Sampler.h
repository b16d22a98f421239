//===- Sampler.h - From logits to the next token ----------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_INFER_SAMPLER_H
#define QWEN_RUNTIME_INFER_SAMPLER_H

#include "runtime/core/Error.h"

#include <cstdint>
#include <string>
#include <vector>

namespace qrt {

struct SamplingOptions {
  double temperature = 1;       ///< 0: the most likely token
  int64_t topK = 0;             ///< keep the k most likely; 0: all
  double topP = 1;              ///< keep the smallest set of this probability
  double minP = 0;              ///< keep those of this share of the best one
  double repetitionPenalty = 1; ///< of tokens that occurred before
  uint64_t seed = 0;

  /// Q7030 names the first option out of its range.
  Status check() const;
};

/// Chooses tokens of one request. Filters act in the order repetition penalty,
/// temperature, top-k, top-p, min-p. The choice is a pure function of the
/// logits, the earlier tokens and (seed, request, position).
class Sampler {
public:
  /// Ids from `tokenCount` on have no token and are never chosen, nor are those
  /// for which `valid` is false (empty: all are valid).
  Sampler(const SamplingOptions &options, int64_t tokenCount,
          std::vector<bool> valid = {}, uint64_t request = 0);

  /// Notes a token of the prompt or of the answer, for the repetition penalty.
  void accept(int32_t token);

  /// The token at `position` of the sequence. Errors: Q6040 (a logit is not a
  /// number, or no token can be chosen).
  Expected<int32_t> sample(const float *logits, int64_t vocab,
                           uint64_t position);

private:
  struct Candidate {
    double logit;
    double weight; ///< probability, up to a factor
    int32_t id;
  };
  void gather(const float *logits, int64_t vocab);
  void keepBest(size_t count);
  void keepTopP();

  SamplingOptions options;
  int64_t tokenCount;
  std::vector<bool> valid, occurred;
  uint64_t request;
  std::vector<Candidate> candidates;
};

} // namespace qrt

#endif // QWEN_RUNTIME_INFER_SAMPLER_H
