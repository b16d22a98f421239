//===- Progress.cpp - Showing how far a long task is ----------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/core/Progress.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

using namespace qrt;

Progress::Progress(std::string label, int64_t total, int64_t done)
    : label(std::move(label)), total(std::max<int64_t>(total, 1)),
      startedAt(done), done(done), start(Clock::now()),
      terminal(isatty(STDERR_FILENO)) {}

double Progress::secondsLeft(int64_t now) const {
  if (now <= startedAt)
    return -1;
  double passed = std::chrono::duration<double>(Clock::now() - start).count();
  return passed / double(now - startedAt) * double(total - now);
}

void Progress::update(int64_t now, const std::string &newText) {
  done = now;
  text = newText;
  if (!terminal)
    return;
  auto time = Clock::now();
  if (open && now < total && time - drawn < std::chrono::milliseconds(100))
    return;
  drawn = time;
  draw();
}

void Progress::draw() {
  winsize size{};
  size_t columns = 80;
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 20)
    columns = size.ws_col;
  constexpr int kWidth = 24;
  double part = std::clamp(double(done) / double(total), 0.0, 1.0);
  int filled = int(part * kWidth);
  std::string bar(filled, '=');
  if (filled < kWidth)
    bar += '>';
  bar.resize(kWidth, ' ');
  double left = secondsLeft(done);
  std::string out =
      fmt::format("{} [{}] {:3.0f}% eta {} | {}", label, bar, part * 100,
                  left < 0 ? "?" : formatDuration(left), text);
  if (out.size() >= columns)
    out.resize(columns - 1);
  std::fprintf(stderr, "\r\033[K%s", out.c_str());
  std::fflush(stderr);
  open = true;
}

void Progress::line(const std::string &newText) {
  if (open)
    std::fputs("\r\033[K", stderr);
  std::fprintf(stderr, "%s\n", newText.c_str());
  if (open)
    draw();
}

void Progress::finish() {
  if (!open)
    return;
  draw();
  std::fputc('\n', stderr);
  open = false;
}

std::string qrt::formatDuration(double seconds) {
  auto whole = int64_t(std::llround(std::clamp(seconds, 0.0, 1e12)));
  if (whole >= 3600)
    return fmt::format("{}h{:02}m", whole / 3600, whole / 60 % 60);
  if (whole >= 60)
    return fmt::format("{}m{:02}s", whole / 60, whole % 60);
  return fmt::format("{}s", whole);
}

std::string qrt::formatCount(double value) {
  constexpr const char *suffixes[] = {"", "k", "M", "G", "T", "P"};
  int i = 0;
  while (std::abs(value) >= 999.5 && i < 5) {
    value /= 1000;
    ++i;
  }
  int digits = std::abs(value) >= 99.95 ? 0 : std::abs(value) >= 9.995 ? 1 : 2;
  return fmt::format("{:.{}f}{}", value, digits, suffixes[i]);
}

std::string qrt::formatBytes(double bytes) {
  constexpr const char *suffixes[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  int i = 0;
  while (bytes >= 1023.5 && i < 4) {
    bytes /= 1024;
    ++i;
  }
  return fmt::format("{:.{}f} {}", bytes, i == 0 ? 0 : 1, suffixes[i]);
}
