//===- Metrics.h - metrics.jsonl --------------------------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_TRAIN_METRICS_H
#define QWEN_RUNTIME_TRAIN_METRICS_H

#include "runtime/core/Error.h"

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>

#include <nlohmann/json.hpp>

namespace qrt {

/// One JSON object a line, written through at once.
class MetricsFile {
public:
  /// Opens OUT/metrics.jsonl for appending. Of a resumed run, events behind
  /// `step` are dropped: they are going to happen again. Q8005 on failure.
  Status open(const std::string &out, int64_t step);
  bool isEmpty() const { return empty; }

  Status write(const nlohmann::json &event);

private:
  struct Close {
    void operator()(std::FILE *file) const { std::fclose(file); }
  };
  std::unique_ptr<std::FILE, Close> file;
  std::string path;
  bool empty = true;
};

} // namespace qrt

#endif // QWEN_RUNTIME_TRAIN_METRICS_H
