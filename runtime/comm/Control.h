//===- Control.h - How rank 0 directs the other processes -------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_COMM_CONTROL_H
#define QWEN_RUNTIME_COMM_CONTROL_H

#include "runtime/core/Error.h"

#include <cstdint>
#include <string>

namespace qrt {

/// Messages between the processes of a job, one process a rank. All ranks call
/// the same functions in the same order, from the thread that runs the
/// collectives or while none runs.
class ControlChannel {
public:
  virtual ~ControlChannel() = default;

  virtual int rank() const = 0;
  virtual int ranks() const = 0;

  /// `bytes` bytes of rank 0 come to all ranks. Others may wait for it for any
  /// length of time.
  virtual Status broadcast(void *data, int64_t bytes) = 0;
  /// `bytes` bytes of every rank come to rank 0, in order. `out` is null
  /// elsewhere.
  virtual Status gather(const void *in, int64_t bytes, void *out) = 0;

  /// Ends all processes of the job with this exit status.
  [[noreturn]] virtual void abort(int status) = 0;
  /// Leaves the job in order; the last call.
  virtual Status finish() = 0;
};

} // namespace qrt

#endif // QWEN_RUNTIME_COMM_CONTROL_H
