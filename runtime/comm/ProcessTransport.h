//===- ProcessTransport.h - Ranks that are processes ------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_COMM_PROCESSTRANSPORT_H
#define QWEN_RUNTIME_COMM_PROCESSTRANSPORT_H

#include "runtime/comm/Control.h"
#include "runtime/comm/ProcessLink.h"
#include "runtime/comm/Transport.h"

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace qrt {

/// The backends "mpi" and "tcp". Sums are those of the backend "threads", bit
/// by bit: the parts are exchanged and added in the order of ranks.
class ProcessTransport : public Transport, public ControlChannel {
public:
  struct Options {
    /// Of one collective, until it is given up (Q9014).
    double timeoutSeconds = 0;
    /// Why the job has to end, or empty; asked while waiting (Q9013).
    std::function<std::string()> stopReason;
  };

  ProcessTransport(std::unique_ptr<ProcessLink> link, Options options)
      : options(std::move(options)), link(std::move(link)) {}

  int rank() const override { return link->rank(); }
  int ranks() const override { return link->ranks(); }
  Status run(const qrt_collective &collective, const RankGroup &group,
             const void *in, void *out) override;
  Status exchange(const void *in, int64_t bytes, void *out) override;

  Status broadcast(void *data, int64_t bytes) override;
  Status gather(const void *in, int64_t bytes, void *out) override;
  [[noreturn]] void abort(int status) override { link->abort(status); }
  Status finish() override { return link->finish(); }

private:
  Expected<int> handleOf(const RankGroup &group);
  Status allGather(int handle, const void *in, void *out, int64_t bytes);
  Status allToAll(int handle, const void *in, void *out, int64_t bytes);
  template <typename Operation>
  Status timed(double seconds, const char *what, Operation operation);
  Status reduceParts(const qrt_collective &c, int handle,
                     const RankGroup &group, const char *in, char *out);

  Options options;
  std::unique_ptr<ProcessLink> link;
  std::map<std::vector<int>, int> handles; ///< by ranks; made once
  std::vector<char> sent, received, reduced;
};

} // namespace qrt

#endif // QWEN_RUNTIME_COMM_PROCESSTRANSPORT_H
