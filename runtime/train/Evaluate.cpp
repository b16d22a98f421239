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

Expected<EvalResult> qrt::evaluate(Session &session, Batches &data,
                                   const EvalOptions &options) {
  QRT_ASSIGN_OR_RETURN(EntryCall call, session.prepare("eval_loss"));
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
