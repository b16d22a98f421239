//===- MpiTransport.h - Ranks that MPI has started --------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_COMM_MPITRANSPORT_H
#define QWEN_RUNTIME_COMM_MPITRANSPORT_H

#include "runtime/comm/Control.h"
#include "runtime/comm/MpiPlugin.h"
#include "runtime/comm/Transport.h"

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace qrt {

/// The backend "mpi". Sums are those of the backend "threads", bit by bit: the
/// parts are exchanged and added in the order of ranks.
class MpiTransport : public Transport, public ControlChannel {
public:
  struct Options {
    /// Of one collective, until it is given up (Q9014).
    double timeoutSeconds = 0;
    /// Until all ranks have started; 0: any time. Then the process ends: MPI
    /// cannot be told to stop waiting.
    double startTimeoutSeconds = 0;
    /// Why the job has to end, or empty; asked while waiting (Q9013).
    std::function<std::string()> stopReason;
    /// Where libqwen-comm-mpi.so may lie, beside what the loader finds itself.
    std::string directory;
    /// More ranks than processors of this machine.
    bool oversubscribed = false;
  };

  /// Loads the plugin and starts MPI; once in a process. Errors: Q9020 (no
  /// plugin, or MPI does not start).
  static Expected<std::unique_ptr<MpiTransport>> create(Options options);
  ~MpiTransport() override;

  int rank() const override { return self; }
  int ranks() const override { return all; }
  Status run(const qrt_collective &collective, const RankGroup &group,
             const void *in, void *out) override;
  Status exchange(const void *in, int64_t bytes, void *out) override;

  Status broadcast(void *data, int64_t bytes) override;
  Status gather(const void *in, int64_t bytes, void *out) override;
  [[noreturn]] void abort(int status) override;
  Status finish() override;

private:
  MpiTransport() = default;
  Expected<int> handleOf(const RankGroup &group);
  Status allGather(int handle, const void *in, void *out, int64_t bytes);
  Status allToAll(int handle, const void *in, void *out, int64_t bytes);
  static int shouldStop(void *self);
  void startClock(double seconds);
  Status failure(const char *what);
  Status reduceParts(const qrt_collective &c, int handle,
                     const RankGroup &group, const char *in, char *out);

  Options options;
  const qrt_mpi *mpi = nullptr;
  int self = 0, all = 1;
  bool finalized = false;
  std::map<std::vector<int>, int> handles; ///< by ranks; made once
  std::vector<char> sent, received, reduced;
  double deadline = 0;
  bool isLate = false; ///< the last operation was given up for its time
  std::string reason;  ///< why the last operation was given up otherwise
};

} // namespace qrt

#endif // QWEN_RUNTIME_COMM_MPITRANSPORT_H
