//===- Evaluate.h - The loss of a model on given tokens ---------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_TRAIN_EVALUATE_H
#define QWEN_RUNTIME_TRAIN_EVALUATE_H

#include "runtime/mesh/SessionGroup.h"
#include "runtime/train/Batches.h"
#include "runtime/weights/Parameters.h"

#include <optional>
#include <vector>

#include <nlohmann/json.hpp>

namespace qrt {

struct EvalResult {
  double nats = 0; ///< summed over all targets
  int64_t tokens = 0, correct = 0;
  /// Of the targets that stand for bytes of text; none without byte lengths.
  double textNats = 0;
  int64_t bytes = 0;
  bool stopped = false; ///< a signal came before the end

  double loss() const { return tokens ? nats / double(tokens) : 0; }
  double accuracy() const {
    return tokens ? double(correct) / double(tokens) : 0;
  }
  double perplexity() const;
  std::optional<double> bitsPerByte() const;
};

/// What the evaluation is told, and whom it tells.
struct EvalOptions {
  int64_t batches = 0;    ///< at most; 0: all sequences once
  bool documents = false; ///< attention stays inside of a document
  /// Bytes of text of every token id (0: a special token); empty: unknown.
  std::vector<uint32_t> byteLengths;
  std::function<void(int64_t done, int64_t total)> progress;
};

/// Runs eval_loss over the sequences in their order.
Expected<EvalResult> evaluate(SessionGroup &session, Batches &data,
                              const EvalOptions &options);

/// The same by the entry `logits`, which reads weights as inference does (also
/// quantized), one sequence of `sequence` tokens at a time. Losses of tokens
/// are found from the logits, in f64; `parallel` spreads them over threads.
Expected<EvalResult> evaluateLogits(SessionGroup &session, Batches &data,
                                    int64_t sequence,
                                    const EvalOptions &options,
                                    const ParallelTasks &parallel);

} // namespace qrt

#endif // QWEN_RUNTIME_TRAIN_EVALUATE_H
