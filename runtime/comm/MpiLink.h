//===- MpiLink.h - Processes that MPI has started ---------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_COMM_MPILINK_H
#define QWEN_RUNTIME_COMM_MPILINK_H

#include "runtime/comm/MpiPlugin.h"
#include "runtime/comm/ProcessLink.h"

#include <memory>
#include <string>

namespace qrt {

class MpiLink : public ProcessLink {
public:
  struct Options {
    /// Until all ranks have started; 0: any time. Then the process ends: MPI
    /// cannot be told to stop waiting.
    double startTimeoutSeconds = 0;
    /// Where libqwen-comm-mpi.so may lie, beside what the loader finds itself.
    std::string directory;
    /// More ranks than processors of this machine.
    bool oversubscribed = false;
  };

  /// Loads the plugin and starts MPI; once in a process. Errors: Q9020 (no
  /// plugin, or MPI does not start). Those of the other functions: Q9021.
  static Expected<std::unique_ptr<ProcessLink>> create(const Options &options);

  int rank() const override { return self; }
  int ranks() const override { return all; }
  Expected<int> makeGroup(const std::vector<int> &members) override;
  Status allToAll(int group, const void *in, void *out, int64_t bytes,
                  const Stop &stop) override;
  Status allGather(int group, const void *in, void *out, int64_t bytes,
                   const Stop &stop) override;
  Status broadcast(void *data, int64_t bytes, const Stop &stop) override;
  Status gather(const void *in, void *out, int64_t bytes,
                const Stop &stop) override;
  [[noreturn]] void abort(int status) override;
  Status finish() override;

private:
  MpiLink() = default;
  Status result(int code, const char *what) const;

  const qrt_mpi *mpi = nullptr;
  int self = 0, all = 1;
  bool finalized = false;
};

} // namespace qrt

#endif // QWEN_RUNTIME_COMM_MPILINK_H
