//===- ThreadTransport.h - Devices of one process ---------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The backend "threads": every device reads the others' buffers. Sums are made
// in the order of ranks, so it is the reference for all other backends.
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_COMM_THREADTRANSPORT_H
#define QWEN_RUNTIME_COMM_THREADTRANSPORT_H

#include "runtime/comm/Transport.h"

#include <memory>

namespace qrt {

/// What the devices of a process share. Outlives its transports.
class ThreadWorld {
public:
  /// A collective fails (Q9014) when a rank has not come to it after
  /// `timeoutSeconds`.
  ThreadWorld(const Mesh &mesh, double timeoutSeconds);
  ~ThreadWorld();

  std::unique_ptr<Transport> transport(int rank);

  /// Lets all collectives of all ranks fail (Q9013) with this reason, now and
  /// from now on. Only the first call counts. From any thread.
  void abort(int rank, const std::string &reason);

private:
  friend class ThreadTransport;
  struct Group;
  struct Impl;
  std::unique_ptr<Impl> impl;
};

} // namespace qrt

#endif // QWEN_RUNTIME_COMM_THREADTRANSPORT_H
