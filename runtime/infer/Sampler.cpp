//===- Sampler.cpp - From logits to the next token ------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/infer/Sampler.h"
#include "runtime/core/Philox.h"

#include <algorithm>
#include <cmath>

using namespace qrt;

Status SamplingOptions::check() const {
  struct Range {
    const char *name;
    double value, low, high;
  };
  const Range ranges[] = {{"temperature", temperature, 0, 1e6},
                          {"top-k", double(topK), 0, 1e9},
                          {"top-p", topP, 0, 1},
                          {"min-p", minP, 0, 1},
                          {"repetition-penalty", repetitionPenalty, 1e-6, 1e6}};
  for (const Range &range : ranges)
    if (!(range.value >= range.low && range.value <= range.high))
      return makeError(7030, "", "{} is {}, not in {} to {}", range.name,
                       range.value, range.low, range.high);
  return Status::success();
}

Sampler::Sampler(const SamplingOptions &options, int64_t tokenCount,
                 std::vector<bool> valid, uint64_t request)
    : options(options), tokenCount(tokenCount), valid(std::move(valid)),
      request(request) {}

void Sampler::accept(int32_t token) {
  if (options.repetitionPenalty == 1 || token < 0)
    return;
  if (occurred.size() <= static_cast<size_t>(token))
    occurred.resize(token + 1);
  occurred[token] = true;
}

/// Fills `candidates` with the tokens that may be chosen, in the order of ids.
void Sampler::gather(const float *logits, int64_t vocab) {
  candidates.clear();
  int64_t count = std::min(vocab, tokenCount);
  for (int64_t id = 0; id < count; ++id) {
    if (!valid.empty() &&
        (id >= static_cast<int64_t>(valid.size()) || !valid[id]))
      continue;
    double logit = logits[id];
    if (id < static_cast<int64_t>(occurred.size()) && occurred[id])
      logit = logit > 0 ? logit / options.repetitionPenalty
                        : logit * options.repetitionPenalty;
    candidates.push_back({logit, 0, static_cast<int32_t>(id)});
  }
}

/// The order of likelihood; ties go to the lower id.
static bool isBetter(double logitA, int32_t idA, double logitB, int32_t idB) {
  return logitA != logitB ? logitA > logitB : idA < idB;
}

/// Keeps the `count` best candidates, best first.
void Sampler::keepBest(size_t count) {
  auto better = [](const Candidate &a, const Candidate &b) {
    return isBetter(a.logit, a.id, b.logit, b.id);
  };
  if (count < candidates.size()) {
    std::nth_element(candidates.begin(), candidates.begin() + count,
                     candidates.end(), better);
    candidates.resize(count);
  }
  std::sort(candidates.begin(), candidates.end(), better);
}

/// Keeps the smallest set of best candidates whose probability reaches top-p.
/// Sorting the whole vocabulary would cost more than a step of a small model,
/// so the set is looked for among ever more of the best.
void Sampler::keepTopP() {
  double best = -INFINITY, total = 0;
  for (const Candidate &candidate : candidates)
    best = std::max(best, candidate.logit);
  for (const Candidate &candidate : candidates)
    total += std::exp(candidate.logit - best);
  auto better = [](const Candidate &a, const Candidate &b) {
    return isBetter(a.logit, a.id, b.logit, b.id);
  };
  for (size_t count = 64;; count *= 8) {
    count = std::min(count, candidates.size());
    if (count < candidates.size())
      std::nth_element(candidates.begin(), candidates.begin() + count,
                       candidates.end(), better);
    std::sort(candidates.begin(), candidates.begin() + count, better);
    double sum = 0;
    for (size_t i = 0; i < count; ++i) {
      sum += std::exp(candidates[i].logit - best);
      if (sum >= options.topP * total) {
        candidates.resize(i + 1);
        return;
      }
    }
    if (count == candidates.size())
      return;
  }
}

Expected<int32_t> Sampler::sample(const float *logits, int64_t vocab,
                                  uint64_t position) {
  gather(logits, vocab);
  const Candidate *best = nullptr;
  for (const Candidate &candidate : candidates) {
    if (std::isnan(candidate.logit))
      return makeError(6040, "",
                       "the model's logits are not numbers (token {})",
                       candidate.id);
    if (!best || candidate.logit > best->logit)
      best = &candidate;
  }
  if (!best || std::isinf(best->logit))
    return makeError(6040, "", "the model's logits leave no token to choose");
  if (options.temperature == 0)
    return best->id;

  double scale = 1 / options.temperature;
  double top = best->logit * scale;
  for (Candidate &candidate : candidates)
    candidate.logit *= scale;
  // Far below 1 a temperature overflows the scaled logits.
  if (!std::isfinite(top))
    return best->id;
  if (options.topK > 0 && options.topK < int64_t(candidates.size()))
    keepBest(options.topK);
  if (options.topP < 1)
    keepTopP();
  if (options.minP > 0) {
    double limit = top + std::log(options.minP);
    candidates.erase(std::remove_if(candidates.begin(), candidates.end(),
                                    [&](const Candidate &candidate) {
                                      return candidate.logit < limit;
                                    }),
                     candidates.end());
  }
  double total = 0;
  for (Candidate &candidate : candidates) {
    candidate.weight = std::exp(candidate.logit - top);
    total += candidate.weight;
  }
  auto bits = Philox(options.seed, RandomPurpose::Sampling)(position, request);
  double target = uniformDouble(bits[0], bits[1]) * total;
  double sum = 0;
  for (const Candidate &candidate : candidates) {
    sum += candidate.weight;
    if (sum > target)
      return candidate.id;
  }
  return candidates.back().id;
}
