//===- Simulator.h - Grids of simulated kernels -----------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_CUDASIM_SIMULATOR_H
#define QWEN_RUNTIME_CUDASIM_SIMULATOR_H

#include "runtime/core/Error.h"
#include "runtime/cpu/ThreadPool.h"
#include "runtime/cudasim/Block.h"

#include <memory>
#include <mutex>
#include <vector>

namespace qrt::cudasim {

/// Runs kernels of target cuda-sim on a thread pool. Blocks do not depend on
/// each other, so results are the same on any number of threads; atomics on
/// global memory are, if their operation does not depend on the order.
class Simulator {
public:
  /// `findRaces`: report unordered accesses to shared memory. That costs about
  /// as much as everything else; QWEN_CUDASIM_RACES=0 in the environment is
  /// the user's way to turn it off.
  explicit Simulator(ThreadPool &pool, bool findRaces = racesByEnvironment())
      : pool(pool), findRaces(findRaces) {}

  /// Runs all blocks of a grid. An error (Q6042) names the kernel, the block,
  /// the thread and what it did: a deadlock, a race, an address outside of
  /// shared memory, a lane outside of its mask. With several faulty blocks the
  /// one of the lowest number is named.
  Status launch(const qrt_kernel &kernel, const uint32_t grid[3],
                void *const *params);

  static bool racesByEnvironment();

private:
  std::unique_ptr<BlockRunner> takeRunner();
  void giveBack(std::unique_ptr<BlockRunner> runner);

  ThreadPool &pool;
  bool findRaces;
  std::mutex mutex;
  std::vector<std::unique_ptr<BlockRunner>> idle;
};

} // namespace qrt::cudasim

#endif // QWEN_RUNTIME_CUDASIM_SIMULATOR_H
