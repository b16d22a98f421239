//===- CheckpointSaver.h - Saving while training goes on -------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_TRAIN_CHECKPOINTSAVER_H
#define QWEN_RUNTIME_TRAIN_CHECKPOINTSAVER_H

#include "runtime/core/Buffer.h"
#include "runtime/weights/Checkpoint.h"

#include <array>
#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace qrt {

/// Saves one checkpoint after the other. In the background it copies the state
/// first (in memory, as long as one step or so), so that training changes
/// nothing that is still to be written; without memory for the copy it saves at
/// once instead.
class CheckpointSaver {
public:
  /// A save that has ended.
  struct Outcome {
    int64_t step = 0;
    std::string name; ///< "step-NNNNNN"; empty if it failed
    Status status;
  };
  struct Options {
    std::string out;
    int64_t keep = 0, keepEvery = 0; ///< see pruneCheckpoints
  };

  explicit CheckpointSaver(Options options) : options(std::move(options)) {}
  ~CheckpointSaver();
  CheckpointSaver(const CheckpointSaver &) = delete;
  CheckpointSaver &operator=(const CheckpointSaver &) = delete;

  /// Saves `data`, and links `best` to it if it is. Waits for an earlier save.
  /// The outcome is told by poll() or wait().
  void save(CheckpointData data, bool best, bool background);

  /// The outcome of a save that has ended since the last call, if any.
  std::optional<Outcome> poll();
  /// As poll, after waiting for a save that is under way.
  std::optional<Outcome> wait();

private:
  bool copyState(CheckpointData &data);
  void write(const CheckpointData &data, bool best);

  Options options;
  std::array<Buffer, 3> copies; // weights, first and second moments
  std::vector<int64_t> offsets; // of every parameter in a copy, in elements
  std::thread worker;
  std::atomic<bool> ended{false};
  std::optional<Outcome> outcome;
};

} // namespace qrt

#endif // QWEN_RUNTIME_TRAIN_CHECKPOINTSAVER_H
