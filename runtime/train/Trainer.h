//===- Trainer.h - The training loop ----------------------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_TRAIN_TRAINER_H
#define QWEN_RUNTIME_TRAIN_TRAINER_H

#include "runtime/core/Progress.h"
#include "runtime/core/Session.h"
#include "runtime/train/Batches.h"
#include "runtime/train/Evaluate.h"
#include "runtime/train/Metrics.h"
#include "runtime/train/Settings.h"
#include "runtime/weights/Checkpoint.h"

#include <map>
#include <optional>
#include <string>

namespace qrt {

struct TrainerOptions {
  ManifestDefaults settings;
  int64_t steps = 0; ///< the run's length
  std::string out;
  std::optional<double> peakTflops;  ///< of the machine, for mfu
  std::vector<uint32_t> byteLengths; ///< as EvalOptions::byteLengths
  /// Files that every checkpoint carries along (tokenizer.json, ...).
  std::map<std::string, std::string> files;
  nlohmann::json generationConfig; ///< null: made from the model's config
};

/// Trains one session. The loss that a step reports is that before its update,
/// the mean over all targets of all its micro steps; their number is known
/// before the first backward pass.
class Trainer {
public:
  /// `validation` may be null. Both must outlive the trainer.
  Trainer(Session &session, Batches &data, Batches *validation,
          TrainerOptions options);

  /// Loads moments and position of a checkpoint whose weights the session
  /// already holds. Errors: those of reading, Q8010 (another seed or step
  /// size).
  Status resume(const std::string &checkpoint);

  /// Trains until the last step or a stop signal; the state is saved in both
  /// cases. Returns the exit status. Errors: Q8004 (loss or gradient is not
  /// finite; nothing was updated), those of saving.
  Expected<int> run();

  /// Finished updates.
  int64_t step() const { return done; }

  /// The entries that a session for training needs.
  static std::vector<std::string> entries(const Manifest &manifest);

private:
  struct StepResult {
    double loss = 0, gradNorm = 0, lr = 0;
  };
  Expected<StepResult> advance();
  Status evaluateNow();
  Status save();
  Status log(const StepResult &result);
  double speed() const;
  std::string describe(const StepResult &result) const;

  Session &session;
  Batches &data;
  Batches *validation;
  TrainerOptions options;
  Schedule schedule;
  MetricsFile metrics;
  int64_t done = 0;      ///< finished updates
  int64_t sequences = 0; ///< consumed
  int64_t savedStep = -1, evaluatedStep = -1;
  std::optional<double> bestLoss;
  int64_t bestStep = -1;
  // Since the last log line: time inside steps, and tokens.
  double stepSeconds = 0;
  int64_t stepTokens = 0;
  double startSeconds = 0;
  std::optional<Progress> progress;
};

} // namespace qrt

#endif // QWEN_RUNTIME_TRAIN_TRAINER_H
