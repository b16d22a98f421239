//===- ProcessLink.h - How bytes go between processes -----------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_COMM_PROCESSLINK_H
#define QWEN_RUNTIME_COMM_PROCESSLINK_H

#include "runtime/core/Error.h"

#include <cstdint>
#include <functional>
#include <vector>

namespace qrt {

/// Moves bytes between the processes of a job and knows nothing of what they
/// mean. All processes call the same functions in the same order, from one
/// thread at a time, but for abort().
class ProcessLink {
public:
  /// Asked again and again while an operation waits: true gives it up, with
  /// whatever error.
  using Stop = std::function<bool()>;

  virtual ~ProcessLink() = default;

  virtual int rank() const = 0;
  virtual int ranks() const = 0;

  /// A handle for a group of ranks, made by all of its members together.
  virtual Expected<int> makeGroup(const std::vector<int> &members) = 0;
  /// Block i of `in`, `bytes` long, goes to member i of the group; block i of
  /// `out` comes from there.
  virtual Status allToAll(int group, const void *in, void *out, int64_t bytes,
                          const Stop &stop) = 0;
  /// Block i of `out` is `in` of member i.
  virtual Status allGather(int group, const void *in, void *out, int64_t bytes,
                           const Stop &stop) = 0;
  /// `bytes` bytes of rank 0 come to all ranks of the job.
  virtual Status broadcast(void *data, int64_t bytes, const Stop &stop) = 0;
  /// Block i of `out` on rank 0 is `in` of rank i of the job.
  virtual Status gather(const void *in, void *out, int64_t bytes,
                        const Stop &stop) = 0;

  /// Ends all processes of the job with this exit status.
  [[noreturn]] virtual void abort(int status) = 0;
  /// Leaves the job in order, when all others do so; the last call.
  virtual Status finish() = 0;
};

} // namespace qrt

#endif // QWEN_RUNTIME_COMM_PROCESSLINK_H
