//===- TcpLink.h - Processes that meet at an address ------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Rank 0 listens at the address of the rendezvous; the others come there, say
// who they are, and learn where the rest are. Then every two processes have a
// connection. There is no secret: the network is trusted.
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_COMM_TCPLINK_H
#define QWEN_RUNTIME_COMM_TCPLINK_H

#include "runtime/comm/ProcessLink.h"

#include <memory>
#include <string>

namespace qrt {

class TcpLink : public ProcessLink {
public:
  struct Options {
    int rank = 0, ranks = 1;
    std::string rendezvous; ///< HOST:PORT of rank 0, or [HOST]:PORT
    double startTimeoutSeconds = 300;
  };

  /// Returns when all ranks are connected. Errors: Q9022 (the address, or what
  /// the ranks say of themselves), Q9014 (not all ranks have come in time).
  /// Those of the other functions: Q9013 (another rank has ended).
  static Expected<std::unique_ptr<ProcessLink>> connect(const Options &options);
  ~TcpLink() override;

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
  /// Ends this process; the others notice.
  [[noreturn]] void abort(int status) override;
  Status finish() override;

private:
  struct Transfer;
  class Watch;
  TcpLink(int rank, int ranks);
  Status exchange(std::vector<Transfer> transfers, const Stop &stop);
  /// Blocks of all members of a group: `inStride` is 0 if all get the same.
  Status exchangeBlocks(int group, const char *in, int64_t inStride, char *out,
                        int64_t bytes, const Stop &stop);

  int self, all;
  std::vector<int> sockets; ///< by rank; -1 for this one
  std::vector<std::vector<int>> groups;
  std::unique_ptr<Watch> watch;
};

} // namespace qrt

#endif // QWEN_RUNTIME_COMM_TCPLINK_H
