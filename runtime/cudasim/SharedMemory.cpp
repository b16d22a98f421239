//===- SharedMemory.cpp - A block's shared memory, checked ----------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/cudasim/SharedMemory.h"

#include <algorithm>
#include <cstring>
#include <fmt/format.h>

using namespace qrt;
using namespace qrt::cudasim;

static constexpr int64_t kAlignment = 128;
/// Readers of one cell are remembered as one thread, as threads of one warp
/// (this bit and the warp), or as threads of several warps.
static constexpr uint16_t kWarpReaders = 0x8000;
static constexpr uint16_t kAnyReaders = 0xffff;

void SharedMemory::reset(int64_t newBytes) {
  bytes = newBytes;
  if (static_cast<int64_t>(storage.size()) < bytes + kAlignment) {
    storage.resize(bytes + kAlignment);
    cells.resize((bytes + 1) / 2);
    auto address = reinterpret_cast<uintptr_t>(storage.data());
    base = storage.data() + (-address & (kAlignment - 1));
  }
  std::memset(base, 0xff, bytes);
}

/// Whether an access of `thread` at `before` comes before one of `other` now.
bool SharedMemory::isOrdered(Time before, uint32_t thread, Time now,
                             uint32_t other) {
  if (before.block != now.block || thread == other)
    return true;
  return thread / 32 == other / 32 && before.warp != now.warp;
}

std::string SharedMemory::check(const void *address, uint32_t count,
                                qrt_sim_access kind, uint32_t thread, Time time,
                                bool findRaces) {
  int64_t offset = static_cast<const char *>(address) - base;
  if (offset < 0 || offset + count > bytes)
    return fmt::format("access to {} bytes at {} of {} bytes of shared memory",
                       count, offset, bytes);
  if (!findRaces)
    return {};
  auto race = [&](int64_t cell, const std::string &others) {
    return fmt::format("race in shared memory at byte {}: thread {} {} what {} "
                       "without a barrier between",
                       2 * cell, thread,
                       kind == QRT_SIM_READ ? "reads" : "writes", others);
  };
  for (int64_t i = offset / 2; i <= (offset + count - 1) / 2; ++i) {
    Cell &cell = cells[i];
    bool bothAtomic = kind == QRT_SIM_ATOMIC && cell.isAtomic;
    if (!bothAtomic && !isOrdered(cell.written, cell.writer, time, thread))
      return race(i, fmt::format("thread {} wrote", cell.writer));
    if (kind == QRT_SIM_READ) {
      uint16_t self = static_cast<uint16_t>(thread);
      bool isOld = cell.read.block != time.block;
      if (isOld || cell.reader == self) {
        cell.reader = self;
      } else if (cell.reader != kAnyReaders) {
        uint32_t warp = cell.reader & kWarpReaders ? cell.reader & ~kWarpReaders
                                                   : cell.reader / 32;
        cell.reader = warp == thread / 32
                          ? static_cast<uint16_t>(kWarpReaders | warp)
                          : kAnyReaders;
      }
      cell.read = time;
      continue;
    }
    if (!bothAtomic && cell.read.block == time.block) {
      if (cell.reader == kAnyReaders)
        return race(i, "threads of several warps read");
      uint32_t first = cell.reader & kWarpReaders
                           ? 32 * (cell.reader & ~kWarpReaders)
                           : cell.reader;
      // Of several readers one at least is another thread.
      if (cell.reader & kWarpReaders && first / 32 == thread / 32 &&
          first == thread)
        ++first;
      if (!isOrdered(cell.read, first, time, thread))
        return race(i, fmt::format("thread {} read", first));
    }
    cell.written = time;
    cell.writer = static_cast<uint16_t>(thread);
    cell.isAtomic = kind == QRT_SIM_ATOMIC;
  }
  return {};
}
