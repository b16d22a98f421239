//===- TrainStep.h - One optimizer step ------------------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The trainer decides what happens in a step (which data, which rates, whether
// the update is left out); an executor does it, on one device here. Everything
// that an executor returns is of the whole step, so that the trainer does not
// see how many devices there are.
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_TRAIN_TRAINSTEP_H
#define QWEN_RUNTIME_TRAIN_TRAINSTEP_H

#include "runtime/mesh/SessionGroup.h"
#include "runtime/train/Batches.h"

#include <cstdint>
#include <vector>

namespace qrt {

/// The sequences of one optimizer step: `accumulate` micro steps of `rows` rows
/// of `sequence` tokens, one behind the other.
struct StepBatch {
  int64_t rows = 0, sequence = 0, accumulate = 0;
  std::vector<int32_t> tokens, targets;
  std::vector<int32_t> documents; ///< empty: every row is one document
  int64_t count = 0;              ///< targets that are not masked

  /// Reads them from sequence number `first` on.
  static Expected<StepBatch> fetch(Batches &data, int64_t first, int64_t rows,
                                   int64_t sequence, int64_t accumulate,
                                   bool documents);
};

/// The entry that ends the accumulation of a step: on a mesh it may also add up
/// the devices' gradients.
const char *lastMicroStep(const Manifest &manifest);

struct UpdateResult {
  double gradNorm = 0; ///< of all gradients, before clipping
  bool finite = true;  ///< else nothing was updated
};

class StepExecutor {
public:
  virtual ~StepExecutor() = default;

  /// Adds the gradients of the mean loss over the batch's targets to the
  /// accumulators; returns the summed loss in nats.
  virtual Expected<double> accumulate(const StepBatch &batch) = 0;

  /// The norm of the accumulated gradients. Costs a pass over them: only for
  /// decisions that come before the update.
  virtual Expected<double> gradientNorm() = 0;

  /// Updates with one row of hyper parameters a group (the module's layout) and
  /// clears the accumulators. With `skip`, or if the norm is not finite, it
  /// only clears them.
  virtual Expected<UpdateResult> update(const std::vector<float> &hyper,
                                        bool skip) = 0;
};

/// An executor on one session.
class SessionStep : public StepExecutor {
public:
  explicit SessionStep(SessionGroup &session) : session(session) {}

  Expected<double> accumulate(const StepBatch &batch) override;
  Expected<double> gradientNorm() override;
  Expected<UpdateResult> update(const std::vector<float> &hyper,
                                bool skip) override;

private:
  SessionGroup &session;
};

} // namespace qrt

#endif // QWEN_RUNTIME_TRAIN_TRAINSTEP_H
