//===- Simulator.cpp - Grids of simulated kernels -------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/cudasim/Simulator.h"

#include <cstdlib>
#include <cstring>

using namespace qrt;
using namespace qrt::cudasim;

bool Simulator::racesByEnvironment() {
  const char *value = std::getenv("QWEN_CUDASIM_RACES");
  return !value || std::strcmp(value, "0") != 0;
}

std::unique_ptr<BlockRunner> Simulator::takeRunner() {
  std::lock_guard<std::mutex> lock(mutex);
  if (idle.empty())
    return std::make_unique<BlockRunner>();
  std::unique_ptr<BlockRunner> runner = std::move(idle.back());
  idle.pop_back();
  return runner;
}

void Simulator::giveBack(std::unique_ptr<BlockRunner> runner) {
  std::lock_guard<std::mutex> lock(mutex);
  idle.push_back(std::move(runner));
}

namespace {
struct Grid {
  const qrt_kernel &kernel;
  const uint32_t *size;
  void *const *params;
  /// The fault of the block with the lowest number so far.
  std::mutex mutex;
  int64_t faulty = -1;
  std::string fault;
};
} // namespace

Status Simulator::launch(const qrt_kernel &kernel, const uint32_t grid[3],
                         void *const *params) {
  if (!kernel.thread)
    return makeError(6042, "", "kernel {}: there is no code for cuda-sim",
                     kernel.name);
  struct Work {
    Simulator &simulator;
    Grid grid;
  } work{*this, {kernel, grid, params, {}, -1, {}}};
  int64_t blocks = int64_t(grid[0]) * grid[1] * grid[2];
  qrt_task task = [](void *args, int64_t begin, int64_t end, void *) {
    auto &[simulator, grid] = *static_cast<Work *>(args);
    std::unique_ptr<BlockRunner> runner = simulator.takeRunner();
    for (int64_t i = begin; i < end; ++i) {
      uint32_t block[3] = {
          static_cast<uint32_t>(i % grid.size[0]),
          static_cast<uint32_t>(i / grid.size[0] % grid.size[1]),
          static_cast<uint32_t>(i / grid.size[0] / grid.size[1])};
      std::string fault = runner->run(grid.kernel, grid.size, block,
                                      grid.params, simulator.findRaces);
      if (fault.empty())
        continue;
      std::lock_guard<std::mutex> lock(grid.mutex);
      if (grid.faulty < 0 || i < grid.faulty) {
        grid.faulty = i;
        grid.fault = fmt::format("block ({}, {}, {}): {}", block[0], block[1],
                                 block[2], fault);
      }
    }
    simulator.giveBack(std::move(runner));
  };
  pool.parallelFor(kernel.name, task, &work, blocks, 1);
  if (work.grid.faulty >= 0)
    return makeError(6042, "", "kernel {}: {}", kernel.name, work.grid.fault);
  return Status::success();
}
