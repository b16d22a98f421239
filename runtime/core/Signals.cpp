//===- Signals.cpp - Being asked to stop ----------------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/core/Signals.h"

#include <atomic>
#include <csignal>
#include <unistd.h>

using namespace qrt;

namespace {

std::atomic<int> caught{0};
static_assert(std::atomic<int>::is_always_lock_free,
              "a signal handler may only use lock-free atomics");

void endNow(int signal) { _exit(exitStatusOfSignal(signal)); }

void note(int signal) {
  if (caught.exchange(signal, std::memory_order_relaxed) != 0)
    endNow(signal);
}

void install(void (*handler)(int)) {
  struct sigaction action{};
  action.sa_handler = handler;
  sigemptyset(&action.sa_mask);
  // System calls that wait go on.
  action.sa_flags = SA_RESTART;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

} // namespace

void qrt::exitOnStopSignals() { install(endNow); }

void qrt::catchStopSignals() { install(note); }

int qrt::stopSignal() { return caught.load(std::memory_order_relaxed); }
