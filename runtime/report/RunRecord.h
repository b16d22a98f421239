//===- RunRecord.h - What a run has written about itself -------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_REPORT_RUNRECORD_H
#define QWEN_RUNTIME_REPORT_RUNRECORD_H

#include "runtime/core/Error.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace qrt {

/// The events of OUT/metrics.jsonl, by type.
struct RunRecord {
  std::string name;      ///< of the directory
  nlohmann::json config; ///< an object; empty if the file has none
  std::vector<nlohmann::json> steps, evals;

  /// The step of the eval event with the lowest loss, or null.
  const nlohmann::json *best() const;
  /// The median of the logged speeds but for the first, which has the start in
  /// it; none without steps.
  std::optional<double> medianSpeed() const;
};

/// Reads a run's directory (or its metrics.jsonl). A last line that is cut off
/// is left out. Errors: Q3001, Q3005, Q8012 (nothing was logged yet).
Expected<RunRecord> readRun(const std::string &path);

/// One object a run with what runs are compared by; unknown values are null:
/// run, model, parameters, steps, tokens, loss (of the last step), eval_loss,
/// accuracy and bits_per_byte (of the best evaluation), tokens_per_s, seconds,
/// lr, seed.
nlohmann::json compareRuns(const std::vector<RunRecord> &runs);

/// The same as lines of a table.
std::string compareTable(const std::vector<RunRecord> &runs);

} // namespace qrt

#endif // QWEN_RUNTIME_REPORT_RUNRECORD_H
