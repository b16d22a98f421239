//===- Block.h - The threads of one block as fibers -------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_CUDASIM_BLOCK_H
#define QWEN_RUNTIME_CUDASIM_BLOCK_H

#include "runtime/abi/qwen_module.h"
#include "runtime/cudasim/Fiber.h"
#include "runtime/cudasim/SharedMemory.h"
#include "runtime/cudasim/WarpOps.h"

#include <deque>
#include <memory>
#include <string>
#include <vector>

namespace qrt::cudasim {

/// Runs the blocks of kernels one after the other on one host thread. A fiber
/// runs until it waits for others; those whose wait ends run next, in the order
/// of their numbers, so that a run is the same every time.
class BlockRunner {
public:
  BlockRunner() = default;
  BlockRunner(const BlockRunner &) = delete;

  /// Runs one block of `kernel`; the fault in words (without the kernel's
  /// name), empty if there is none.
  std::string run(const qrt_kernel &kernel, const uint32_t grid[3],
                  const uint32_t block[3], void *const *params, bool findRaces);

private:
  /// What a thread waits for.
  enum class Wait : uint8_t { None, Barrier, Warp, End };
  enum class WarpOp : uint8_t { Sync, Shuffle, Vote, Redux, LoadMatrix, Mma };
  /// Kind and operands that all lanes of an operation share.
  struct WarpCall {
    WarpOp op;
    uint32_t mask, detail;
    bool operator==(const WarpCall &other) const {
      return op == other.op && mask == other.mask && detail == other.detail;
    }
  };
  struct Copy {
    void *destination;
    const void *source;
    uint32_t bytes, sourceBytes;
  };
  struct Thread : qrt_sim_thread {
    BlockRunner *runner;
    uint32_t number;
    Fiber fiber;
    Wait wait;
    uint32_t barrier; ///< that it waits at
    WarpCall call;    ///< that it waits in
    /// Groups of cp.async, oldest first; the last is not committed yet.
    std::deque<std::vector<Copy>> copies;
  };
  struct Group {
    WarpCall call;
    uint32_t arrived;
  };
  struct Warp {
    std::vector<Group> groups;
    LaneOperands lanes[kWarpSize];
    uint32_t synchronisations;
  };
  struct Barrier {
    uint32_t count = 0; ///< of threads that it waits for
    std::vector<uint32_t> waiting;
  };
  static constexpr uint32_t kBarriers = 16;

  static Thread &self(const qrt_sim_thread *thread) {
    return *const_cast<Thread *>(static_cast<const Thread *>(thread));
  }
  static const qrt_sim_api kApi;
  static void threadMain(void *thread);

  std::string prepare(const qrt_kernel &kernel, const uint32_t grid[3],
                      const uint32_t block[3]);
  /// Leaves the current fiber for the next one that can run.
  void suspend(Thread &thread);
  /// Ends the block with a fault, from within a fiber.
  [[noreturn]] void fail(const Thread &thread, const std::string &message);
  std::string describeDeadlock() const;

  /// Waits until all lanes of `call` are here and have their results.
  LaneOperands &join(Thread &thread, const WarpCall &call,
                     const LaneOperands &operands);
  void complete(Thread &last, Warp &warp, const WarpCall &call);
  void barrier(Thread &thread, uint32_t id, uint32_t count);
  void access(Thread &thread, const void *address, uint32_t bytes,
              qrt_sim_access kind);

  // The table.
  static void apiBarrier(const qrt_sim_thread *, uint32_t, uint32_t);
  static void apiWarpSync(const qrt_sim_thread *, uint32_t);
  static uint32_t apiShuffle(const qrt_sim_thread *, uint32_t, uint32_t,
                             uint32_t, uint32_t, uint32_t, uint32_t *);
  static uint32_t apiVote(const qrt_sim_thread *, uint32_t, uint32_t, uint32_t);
  static uint32_t apiRedux(const qrt_sim_thread *, uint32_t, uint32_t,
                           uint32_t);
  static void apiAccess(const qrt_sim_thread *, const void *, uint32_t,
                        uint32_t);
  static void apiCopyAsync(const qrt_sim_thread *, void *, const void *,
                           uint32_t, uint32_t);
  static void apiCopyCommit(const qrt_sim_thread *);
  static void apiCopyWait(const qrt_sim_thread *, uint32_t);
  static void apiLoadMatrix(const qrt_sim_thread *, const void *, uint32_t,
                            uint32_t, uint32_t *);
  static void apiMmaBf16(const qrt_sim_thread *, const uint32_t *,
                         const uint32_t *, const float *, float *);

  FiberStacks stacks;
  SharedMemory shared;
  std::vector<Thread> threads;
  std::vector<Warp> warps;
  Barrier barriers[kBarriers];
  /// Threads that can run; those in front run first.
  std::deque<uint32_t> ready;
  Fiber caller;
  uint32_t numThreads = 0, numEnded = 0, epoch = 0;
  const qrt_kernel *kernel = nullptr;
  void *const *params = nullptr;
  bool findRaces = true;
  std::string fault;
};

} // namespace qrt::cudasim

#endif // QWEN_RUNTIME_CUDASIM_BLOCK_H
