//===- DeviceMetrics.cpp - What the machine is doing ----------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/train/DeviceMetrics.h"

#include <cstdlib>
#include <fstream>
#include <string>

using namespace qrt;
using nlohmann::json;

namespace {

/// The value of `key` in /proc/self/status, in MB; null without it.
json statusMb(const std::string &key) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.rfind(key + ":", 0) == 0)
      return std::strtod(line.c_str() + key.size() + 1, nullptr) / 1024;
  return nullptr;
}

} // namespace

double qrt::residentBytes() {
  json mb = statusMb("VmRSS");
  return mb.is_null() ? 0 : mb.get<double>() * 1048576;
}

json qrt::cpuMetrics() {
  double load = 0;
  bool known = getloadavg(&load, 1) == 1;
  return {{"cpu/rss_mb", statusMb("VmRSS")},
          {"cpu/rss_peak_mb", statusMb("VmHWM")},
          {"cpu/load", known ? json(load) : json(nullptr)}};
}
