//===- Devices.cpp - The kinds of devices that qwen-rt knows --------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "tools/qwen-rt/Devices.h"
#include "runtime/cuda/CudaDevice.h"
#include "runtime/cudasim/SimDevice.h"

using namespace qrt;

namespace {

Expected<std::unique_ptr<Device>> createCpu(const DeviceSpec &, int threads) {
  QRT_ASSIGN_OR_RETURN(std::unique_ptr<Device> device,
                       CpuDevice::create(threads));
  return device;
}

Expected<std::unique_ptr<Device>> createCuda(const DeviceSpec &spec,
                                             int threads) {
  CudaOptions options;
  options.index = spec.index.value_or(0);
  options.threads = threads;
  QRT_ASSIGN_OR_RETURN(std::unique_ptr<Device> device,
                       CudaDevice::create(options));
  return device;
}

Expected<std::unique_ptr<Device>> createSim(const DeviceSpec &, int threads) {
  QRT_ASSIGN_OR_RETURN(std::unique_ptr<Device> device,
                       cudasim::SimDevice::create(threads));
  return device;
}

/// The one list of kinds.
const DeviceKind kKinds[] = {
    {"cpu", createCpu}, {"cuda", createCuda}, {"cuda-sim", createSim}};

} // namespace

const DeviceKind *qrt::findDeviceKind(const std::string &name) {
  for (const DeviceKind &kind : kKinds)
    if (kind.name == name)
      return &kind;
  return nullptr;
}

std::vector<std::string> qrt::deviceKindNames() {
  std::vector<std::string> names;
  for (const DeviceKind &kind : kKinds)
    names.push_back(kind.name);
  return names;
}
