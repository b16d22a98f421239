//===- SharedMemory.h - A block's shared memory, checked --------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_CUDASIM_SHAREDMEMORY_H
#define QWEN_RUNTIME_CUDASIM_SHAREDMEMORY_H

#include "runtime/abi/qwen_sim.h"

#include <cstdint>
#include <string>
#include <vector>

namespace qrt::cudasim {

/// When an access happens. Two accesses of different threads are ordered if a
/// barrier of the block lies between them, or, in one warp, a bar.warp.sync.
/// Shuffles and votes order no memory.
struct Time {
  uint32_t block = 0; ///< barriers of the block so far, over all blocks
  uint32_t warp = 0;  ///< synchronisations of the thread's warp so far
};

/// Shared memory of the blocks that run one after the other on one host thread.
/// Every pair of bytes remembers who wrote and read it last: an access that is
/// not ordered with that of another thread is a race, whatever the order was
/// in this run.
class SharedMemory {
public:
  /// For a block with `bytes` of shared memory; filled with a pattern that is
  /// NaN in all float types.
  void reset(int64_t bytes);
  char *data() const { return base; }
  int64_t size() const { return bytes; }

  /// Checks an access of `thread`. The fault in words, empty if there is none.
  std::string check(const void *address, uint32_t count, qrt_sim_access kind,
                    uint32_t thread, Time time, bool findRaces);

private:
  struct Cell {
    Time written, read;
    uint16_t writer = 0, reader = 0;
    bool isAtomic = false;
  };
  static bool isOrdered(Time before, uint32_t thread, Time now, uint32_t other);

  std::vector<char> storage;
  std::vector<Cell> cells;
  char *base = nullptr;
  int64_t bytes = 0;
};

} // namespace qrt::cudasim

#endif // QWEN_RUNTIME_CUDASIM_SHAREDMEMORY_H
