//===- Batches.h - Where tokens and targets come from -----------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_TRAIN_BATCHES_H
#define QWEN_RUNTIME_TRAIN_BATCHES_H

#include "runtime/core/Error.h"
#include "runtime/data/Loader.h"

#include <cstdint>

namespace qrt {

/// An order of training sequences. Which tokens sequence n holds is a pure
/// function of n, so one integer is all that a checkpoint must remember.
class Batches {
public:
  virtual ~Batches() = default;

  /// Writes sequences [first, first + count) as rows of tokens and of targets,
  /// each of the length the source was made for. Target -1 is ignored.
  virtual Status fetch(int64_t first, int64_t count, SequenceRows rows) = 0;

  /// Sequences that differ; afterwards they repeat (in another order).
  virtual int64_t sequences() const = 0;
};

/// The order of a training run: windows in a random order, another one each
/// epoch.
class TrainingOrder : public Batches {
public:
  /// `dataset` must outlive this and hold at least one whole window.
  TrainingOrder(const TokenDataset &dataset, uint64_t seed)
      : dataset(dataset), seed(seed) {}
  Status fetch(int64_t first, int64_t count, SequenceRows rows) override {
    return dataset.training(seed, first, count, rows);
  }
  int64_t sequences() const override {
    return static_cast<int64_t>(dataset.windows());
  }

private:
  const TokenDataset &dataset;
  uint64_t seed;
};

/// All windows as they lie in the files, for evaluation.
class ReadingOrder : public Batches {
public:
  explicit ReadingOrder(const TokenDataset &dataset) : dataset(dataset) {}
  Status fetch(int64_t first, int64_t count, SequenceRows rows) override {
    return dataset.sequential(first, count, rows);
  }
  int64_t sequences() const override {
    return static_cast<int64_t>(dataset.sequentialWindows());
  }

private:
  const TokenDataset &dataset;
};

} // namespace qrt

#endif // QWEN_RUNTIME_TRAIN_BATCHES_H
