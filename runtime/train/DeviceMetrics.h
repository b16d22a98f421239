//===- DeviceMetrics.h - What the machine is doing -------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_TRAIN_DEVICEMETRICS_H
#define QWEN_RUNTIME_TRAIN_DEVICEMETRICS_H

#include <nlohmann/json.hpp>

namespace qrt {

/// Bytes of this process in memory; 0 if the system does not tell.
double residentBytes();

/// "cpu/rss_mb" and "cpu/rss_peak_mb": this process in memory, now and at most
/// (MB = 2^20 bytes); "cpu/load": the machine's load average over a minute.
/// Null for what the system does not tell.
nlohmann::json cpuMetrics();

} // namespace qrt

#endif // QWEN_RUNTIME_TRAIN_DEVICEMETRICS_H
