//===- Signals.cpp - Being asked to stop ----------------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/core/Signals.h"

#include <atomic>
#include <csignal>

using namespace qrt;

namespace {

std::atomic<int> caught{0};
static_assert(std::atomic<int>::is_always_lock_free,
              "a signal handler may only use lock-free atomics");

void handle(int signal) { caught.store(signal, std::memory_order_relaxed); }

} // namespace

void qrt::catchStopSignals() {
  struct sigaction action{};
  action.sa_handler = handle;
  sigemptyset(&action.sa_mask);
  // The second signal finds the default action again. System calls go on.
  action.sa_flags = SA_RESETHAND | SA_RESTART;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

int qrt::stopSignal() { return caught.load(std::memory_order_relaxed); }
