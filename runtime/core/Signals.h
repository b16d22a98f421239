//===- Signals.h - Being asked to stop --------------------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_CORE_SIGNALS_H
#define QWEN_RUNTIME_CORE_SIGNALS_H

namespace qrt {

/// From now on SIGINT and SIGTERM end the process with the exit status 130 or
/// 143 (without this, a signal would end it without a status).
void exitOnStopSignals();

/// From now on SIGINT and SIGTERM only set a flag, so that work can be finished
/// and saved. A second signal ends the process at once.
void catchStopSignals();

/// The signal that was caught, or 0.
int stopSignal();

/// The exit status after a signal: 128 + its number (130, 143).
inline int exitStatusOfSignal(int signal) { return 128 + signal; }

} // namespace qrt

#endif // QWEN_RUNTIME_CORE_SIGNALS_H
