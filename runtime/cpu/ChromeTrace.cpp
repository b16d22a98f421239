//===- ChromeTrace.cpp - What the threads did, for a trace viewer ---------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/cpu/ChromeTrace.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

using namespace qrt;
using nlohmann::json;

/// Names a process or one of its threads.
static json metadata(const char *what, int64_t process, int64_t thread,
                     const std::string &name) {
  return {{"ph", "M"},
          {"name", what},
          {"pid", process},
          {"tid", thread},
          {"args", {{"name", name}}}};
}

std::string qrt::chromeTrace(const std::vector<TracedTask> &tasks) {
  json events = json::array();
  for (size_t process = 0; process < tasks.size(); ++process) {
    const TracedTask &task = tasks[process];
    events.push_back(metadata("process_name", process, 0, task.name));
    int64_t start = std::numeric_limits<int64_t>::max();
    std::set<int> workers;
    for (const WorkSpan &span : task.spans) {
      start = std::min(start, span.begin);
      workers.insert(span.worker);
    }
    for (int worker : workers)
      events.push_back(metadata("thread_name", process, worker,
                                "worker " + std::to_string(worker)));
    for (const WorkSpan &span : task.spans)
      events.push_back({{"ph", "X"},
                        {"name", span.name ? span.name : "(unnamed)"},
                        {"pid", process},
                        {"tid", span.worker},
                        {"ts", double(span.begin - start) * 1e-3},
                        {"dur", double(span.end - span.begin) * 1e-3}});
  }
  return json{{"traceEvents", events}, {"displayTimeUnit", "ms"}}.dump();
}
