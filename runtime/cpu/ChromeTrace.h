//===- ChromeTrace.h - What the threads did, for a trace viewer -*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_CPU_CHROMETRACE_H
#define QWEN_RUNTIME_CPU_CHROMETRACE_H

#include "runtime/cpu/ThreadPool.h"

#include <string>
#include <vector>

namespace qrt {

/// The spans of one measured task ("prefill").
struct TracedTask {
  std::string name;
  std::vector<WorkSpan> spans;
};

/// The JSON document that chrome://tracing and Perfetto open ("Trace Event
/// Format", complete events): a process for each task, a thread for each
/// worker, microseconds from the task's first span.
std::string chromeTrace(const std::vector<TracedTask> &tasks);

} // namespace qrt

#endif // QWEN_RUNTIME_CPU_CHROMETRACE_H
