//===- Evaluate.cpp - The loss of a model on given tokens -----------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/train/Evaluate.h"
#include "runtime/core/Signals.h"

#include <algorithm>
#include <cmath>

using namespace qrt;

double EvalResult::perplexity() const { return std::exp(loss()); }

std::optional<double> EvalResult::bitsPerByte() const {
  if (bytes == 0)
    return std::nullopt;
  return textNats / (std::log(2.0) * double(bytes));
}

namespace {

/// Sums of one call.
struct Sums {
  float loss = 0;
  int32_t count = 0, correct = 0;
};

} // namespace

Expected<EvalResult> qrt::evaluate(SessionGroup &session, Batches &data,
                                   const EvalOptions &options) {
  QRT_ASSIGN_OR_RETURN(GroupCall call, session.prepare("eval_loss"));
  int64_t batch = call.info().maxExtent("batch");
  int64_t sequence = call.info().maxExtent("sequence");
  int64_t total = data.sequences();
  if (options.batches > 0)
    total = std::min(total, options.batches * batch);
  std::vector<int32_t> tokens(batch * sequence), targets(batch * sequence),
      documents(options.documents ? batch * sequence : 0);
  Sums sums;
  call.bindInput("tokens", tokens.data());
  call.bindInput("targets", targets.data());
  if (options.documents)
    call.bindInput("documents", documents.data());
  call.bindOutput("loss", &sums.loss);
  call.bindOutput("count", &sums.count);
  call.bindOutput("correct", &sums.correct);
  EvalResult result;
  for (int64_t first = 0; first < total; first += batch) {
    if (stopSignal()) {
      result.stopped = true;
      break;
    }
    int64_t rows = std::min(batch, total - first);
    QRT_RETURN_IF_ERROR(
        data.fetch(first, rows,
                   {tokens.data(), targets.data(),
                    options.documents ? documents.data() : nullptr}));
    call.setExtent("batch", rows);
    QRT_RETURN_IF_ERROR(call.run());
    result.nats += sums.loss;
    result.tokens += sums.count;
    result.correct += sums.correct;
    if (!options.byteLengths.empty()) {
      // Targets without text do not count; what they cost is found by a second
      // call that sees only them.
      bool special = false;
      for (int64_t i = 0; i < rows * sequence; ++i) {
        auto id = static_cast<size_t>(targets[i]);
        uint32_t bytes = targets[i] >= 0 && id < options.byteLengths.size()
                             ? options.byteLengths[id]
                             : 0;
        result.bytes += bytes;
        special |= targets[i] >= 0 && bytes == 0;
        if (bytes > 0)
          targets[i] = -1;
      }
      result.textNats += sums.loss;
      if (special) {
        QRT_RETURN_IF_ERROR(call.run());
        result.textNats -= sums.loss;
      }
    }
    if (options.progress)
      options.progress(first + rows, total);
  }
  return result;
}

/// What one token's logits say of its target.
static void addToken(const float *logits, int64_t vocab, int32_t target,
                     double &nats, bool &correct) {
  const float *best = std::max_element(logits, logits + vocab);
  double sum = 0;
  for (int64_t v = 0; v < vocab; ++v)
    sum += std::exp(logits[v] - *best);
  nats = std::log(sum) + double(*best) - double(logits[target]);
  correct = best - logits == target;
}

Expected<EvalResult> qrt::evaluateLogits(SessionGroup &session, Batches &data,
                                         int64_t sequence,
                                         const EvalOptions &options,
                                         const ParallelTasks &parallel) {
  QRT_ASSIGN_OR_RETURN(GroupCall call, session.prepare("logits"));
  int64_t vocab = session.manifest().vocab(), total = data.sequences();
  if (options.batches > 0)
    total = std::min(total, options.batches);
  std::vector<int32_t> tokens(sequence), targets(sequence),
      documents(options.documents ? sequence : 0);
  std::vector<float> logits(sequence * vocab);
  std::vector<double> nats(sequence);
  std::vector<char> correct(sequence);
  call.bindInput("tokens", tokens.data());
  if (options.documents)
    call.bindInput("documents", documents.data());
  call.bindOutput("logits", logits.data());
  call.setExtent("batch", 1);
  call.setExtent("sequence", sequence);
  EvalResult result;
  for (int64_t row = 0; row < total; ++row) {
    if (stopSignal()) {
      result.stopped = true;
      break;
    }
    QRT_RETURN_IF_ERROR(
        data.fetch(row, 1,
                   {tokens.data(), targets.data(),
                    options.documents ? documents.data() : nullptr}));
    QRT_RETURN_IF_ERROR(call.run());
    parallel(sequence, [&](int64_t i) {
      bool hit = false;
      nats[i] = 0;
      if (targets[i] >= 0)
        addToken(&logits[i * vocab], vocab, targets[i], nats[i], hit);
      correct[i] = hit;
    });
    for (int64_t i = 0; i < sequence; ++i) {
      if (targets[i] < 0)
        continue;
      result.nats += nats[i];
      ++result.tokens;
      result.correct += correct[i];
      auto id = static_cast<size_t>(targets[i]);
      uint32_t bytes =
          id < options.byteLengths.size() ? options.byteLengths[id] : 0;
      result.bytes += bytes;
      if (bytes > 0)
        result.textNats += nats[i];
    }
    if (options.progress)
      options.progress(row + 1, total);
  }
  return result;
}
