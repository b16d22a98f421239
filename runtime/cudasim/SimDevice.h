//===- SimDevice.h - A GPU that the host simulates --------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_CUDASIM_SIMDEVICE_H
#define QWEN_RUNTIME_CUDASIM_SIMDEVICE_H

#include "runtime/core/Device.h"
#include "runtime/cudasim/Simulator.h"

namespace qrt::cudasim {

/// Runs modules compiled for `cuda-sim`. Its memory is apart from the host's as
/// that of a GPU is: what is not uploaded is not there.
class SimDevice : public Device {
public:
  /// Errors: Q6021 (the threads cannot be started).
  static Expected<std::unique_ptr<SimDevice>> create(int threads);

  std::string_view target() const override { return "cuda-sim"; }
  std::string name() const override { return "cuda-sim"; }
  bool sharesHostMemory() const override { return false; }
  Expected<DeviceBuffer> allocate(int64_t bytes,
                                  const std::string &purpose) override;
  Status upload(void *to, const void *from, int64_t bytes) override;
  Status download(void *to, const void *from, int64_t bytes) override;
  Status zero(void *at, int64_t bytes) override;
  Status synchronize() override { return Status::success(); }
  Status load(const Module &module) override { return Status::success(); }

protected:
  int32_t launch(uint32_t kernel, const uint32_t grid[3],
                 void *const *params) override;

private:
  explicit SimDevice(int threads) : Device(threads), simulator(pool()) {}

  Simulator simulator;
};

} // namespace qrt::cudasim

#endif // QWEN_RUNTIME_CUDASIM_SIMDEVICE_H
