//===- Metrics.h - What a run writes about itself --------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// metrics.jsonl is the record: one JSON object an event. metrics.csv and the
// event file of TensorBoard hold the same numbers for other programs.
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_TRAIN_METRICS_H
#define QWEN_RUNTIME_TRAIN_METRICS_H

#include "runtime/train/AppendFile.h"

#include <cstdint>
#include <string>

#include <nlohmann/json.hpp>

namespace qrt {

class RunMetrics {
public:
  /// Opens the files in `out` for appending. Of a resumed run, events behind
  /// `step` are dropped: they are going to happen again. Q8005 on failure.
  Status open(const std::string &out, int64_t step);

  /// Whether no event was kept or written.
  bool isEmpty() const { return empty; }
  /// "seconds" of the last event that was kept.
  double seconds() const { return lastSeconds; }

  /// Writes an event to all files. A full disk is no error yet, see AppendFile.
  Status write(const nlohmann::json &event);
  /// Whether events wait for room on the disk.
  bool isBehind() const { return record.isBehind(); }
  /// Q8005 if some event could not be written in the end.
  Status finish();

private:
  Status openRecord(int64_t step, std::string &table);
  Status openEvents(int64_t step);

  std::string out;
  AppendFile record, table, events;
  double lastSeconds = 0;
  bool empty = true;
};

} // namespace qrt

#endif // QWEN_RUNTIME_TRAIN_METRICS_H
