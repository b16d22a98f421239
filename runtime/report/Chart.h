//===- Chart.h - Curves of runs --------------------------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_REPORT_CHART_H
#define QWEN_RUNTIME_REPORT_CHART_H

#include "runtime/report/Drawing.h"
#include "runtime/report/RunRecord.h"

namespace qrt {

struct ChartOptions {
  std::string x = "step"; ///< or tokens, seconds
  double smooth = 0; ///< 0..1: weight of the past in the training loss shown
};

/// Four panels: training loss, validation loss (bits per byte where all runs
/// have them), learning rate, throughput; one colour a run.
Drawing drawRuns(const std::vector<RunRecord> &runs,
                 const ChartOptions &options);

/// About `count` round numbers that span [low, high], for an axis.
std::vector<double> roundTicks(double low, double high, int count);

} // namespace qrt

#endif // QWEN_RUNTIME_REPORT_CHART_H
