//===- Progress.h - Showing how far a long task is --------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_CORE_PROGRESS_H
#define QWEN_RUNTIME_CORE_PROGRESS_H

#include <chrono>
#include <cstdint>
#include <string>

namespace qrt {

/// Reports on stderr: on a terminal one line that is drawn again (a bar, the
/// percentage, the time that is left, the text), elsewhere plain lines.
class Progress {
public:
  /// `done` of `total` units were done before the start (a resumed run).
  Progress(std::string label, int64_t total, int64_t done = 0);
  ~Progress() { finish(); }

  /// Redraws the bar, at most some times a second. Off a terminal: nothing.
  void update(int64_t done, const std::string &text);
  /// A line that stays: printed above the bar, or as a plain line.
  void line(const std::string &text);
  /// Leaves the last bar on the screen and ends its line.
  void finish();

  bool onTerminal() const { return terminal; }
  /// Seconds still needed at the speed so far; negative if unknown.
  double secondsLeft(int64_t done) const;

private:
  void draw();

  using Clock = std::chrono::steady_clock;
  std::string label, text;
  int64_t total, startedAt, done;
  Clock::time_point start, drawn{};
  bool terminal, open = false;
};

/// "1h02m", "3m07s", "42s".
std::string formatDuration(double seconds);
/// "1.23k", "45.6M": three digits and a suffix of 1000s.
std::string formatCount(double value);
/// "1.2 KiB", "3.4 GiB".
std::string formatBytes(double bytes);

} // namespace qrt

#endif // QWEN_RUNTIME_CORE_PROGRESS_H
