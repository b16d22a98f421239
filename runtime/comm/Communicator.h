//===- Communicator.h - The collectives of one device -----------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Keeps the order of the collectives that a device has started, over whatever
// transport. With a thread of its own they run while the device computes; else
// they run when they are waited for. Both give the same bits.
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_COMM_COMMUNICATOR_H
#define QWEN_RUNTIME_COMM_COMMUNICATOR_H

#include "runtime/comm/Transport.h"
#include "runtime/core/Collectives.h"

#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace qrt {

class Communicator : public Collectives {
public:
  struct Options {
    bool ownThread = false; ///< collectives run beside the device's work
    bool debug = false;     ///< compare every collective over all ranks first
  };
  /// Bytes and calls of this device so far, by kind.
  struct Counts {
    int64_t calls[4] = {}, bytes[4] = {};
  };

  Communicator(Mesh mesh, int rank, std::unique_ptr<Transport> transport,
               Options options);
  ~Communicator() override;

  Status start(const qrt_collective &collective, const void *in,
               void *out) override;
  Status wait() override;

  const Mesh &mesh() const { return ranks; }
  int rank() const { return self; }
  Transport &transport() { return *backend; }
  const Counts &counts() const { return sums; }

private:
  struct Operation {
    qrt_collective collective;
    const void *in;
    void *out;
    bool done = false;
    Status status;
  };
  const RankGroup &groupOf(uint64_t axes);
  Status run(const Operation &operation);
  void threadMain();

  Mesh ranks;
  int self;
  std::unique_ptr<Transport> backend;
  Options options;
  std::map<uint64_t, RankGroup> groups;
  std::vector<char> copy; ///< of an input that lies where the output goes
  Counts sums;
  int64_t sequence = 0; ///< collectives run so far

  std::mutex mutex;
  std::condition_variable changed;
  std::deque<Operation> queue; ///< started, not waited for
  size_t finished = 0;         ///< of the queue, by the thread
  bool stop = false;
  std::thread thread;
};

} // namespace qrt

#endif // QWEN_RUNTIME_COMM_COMMUNICATOR_H
