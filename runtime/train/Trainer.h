//===- Trainer.h - The training loop ----------------------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_TRAIN_TRAINER_H
#define QWEN_RUNTIME_TRAIN_TRAINER_H

#include "runtime/core/Progress.h"
#include "runtime/mesh/SessionGroup.h"
#include "runtime/train/Batches.h"
#include "runtime/train/CheckpointSaver.h"
#include "runtime/train/Evaluate.h"
#include "runtime/train/Metrics.h"
#include "runtime/train/Outliers.h"
#include "runtime/train/Settings.h"
#include "runtime/train/TrainStep.h"

#include <functional>
#include <map>
#include <optional>
#include <string>

namespace qrt {

/// A text that the model was asked to continue.
struct SampleText {
  std::string prompt, text;
};

struct TrainerOptions {
  ManifestDefaults settings;
  int64_t steps = 0; ///< the run's length
  std::string out;
  std::optional<double> peakTflops;  ///< of the machine, for mfu
  std::vector<uint32_t> byteLengths; ///< as EvalOptions::byteLengths
  /// Files that every checkpoint carries along (tokenizer.json, ...).
  std::map<std::string, std::string> files;
  nlohmann::json generationConfig; ///< null: made from the model's config
  nlohmann::json
      data; ///< TokenDataset::describe(), for resuming; null: unknown
  /// Generates with the session's weights of the moment, for eval.sample_every.
  std::function<Expected<std::vector<SampleText>>()> sample;
};

/// Trains one session. The loss that a step reports is that before its update,
/// the mean over all targets of all its micro steps; their number is known
/// before the first backward pass.
class Trainer {
public:
  /// `validation` may be null. Both must outlive the trainer.
  Trainer(SessionGroup &session, Batches &data, Batches *validation,
          TrainerOptions options);

  /// Loads moments and position of a checkpoint whose weights the session
  /// already holds. Errors: those of reading, Q8010 (the run was begun with
  /// other data or settings; all differences are listed, and with
  /// `acceptChanges` they are no error).
  Status resume(const std::string &checkpoint, bool acceptChanges = false);

  /// Trains until the last step or a stop signal; the state is saved in both
  /// cases. Returns the exit status. Errors: Q8004 (loss or gradient is not
  /// finite, or too many updates were left out; the state before is saved),
  /// those of the last save.
  Expected<int> run();

  /// Finished steps.
  int64_t step() const { return done; }

  /// The entries that a session for training needs.
  static std::vector<std::string> entries(const Manifest &manifest);

private:
  struct StepResult {
    double loss = 0, lr = 0;
    std::optional<double> gradNorm, lossScore, normScore;
    bool skipped = false;
    double seconds = 0;
  };
  Expected<StepResult> advance();
  Expected<bool> leavesOut(StepResult &result);
  Status loop();
  Status evaluateNow();
  Status sampleNow();
  void save(bool background);
  CheckpointData state();
  void report(std::optional<CheckpointSaver::Outcome> outcome);
  bool isFinite() const;
  Status log(const StepResult &result);
  Status logDevice();
  Status logConfig();
  double speed() const;
  double elapsed() const;
  std::string describe(const StepResult &result) const;
  nlohmann::json identity() const;

  SessionGroup &session;
  SessionStep executor;
  Batches &data;
  Batches *validation;
  TrainerOptions options;
  Schedule schedule;
  RunMetrics metrics;
  CheckpointSaver saver;
  int64_t done = 0;      ///< finished steps
  int64_t updates = 0;   ///< of them, those that were not left out
  int64_t sequences = 0; ///< consumed
  int64_t skipsInRow = 0;
  OutlierWindow losses, norms;
  int64_t savedStep = -1, evaluatedStep = -1;
  Status lastSave;
  std::optional<double> bestLoss;
  int64_t bestStep = -1;
  // Since the last log line: time inside steps, and tokens.
  double stepSeconds = 0;
  int64_t stepTokens = 0;
  double startSeconds = 0, secondsBefore = 0;
  std::optional<Progress> progress;
};

} // namespace qrt

#endif // QWEN_RUNTIME_TRAIN_TRAINER_H
