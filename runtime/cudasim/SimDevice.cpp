//===- SimDevice.cpp - A GPU that the host simulates ----------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/cudasim/SimDevice.h"
#include "runtime/core/Module.h"

#include <cstring>

using namespace qrt;
using namespace qrt::cudasim;

Expected<std::unique_ptr<SimDevice>> SimDevice::create(int threads) {
  try {
    return std::unique_ptr<SimDevice>(new SimDevice(std::max(threads, 1)));
  } catch (const std::exception &error) {
    return makeError(6021, "", "cannot start {} threads: {}", threads,
                     error.what());
  }
}

Expected<DeviceBuffer> SimDevice::allocate(int64_t bytes,
                                           const std::string &purpose) {
  return allocateOnHost(bytes, purpose);
}

Status SimDevice::upload(void *to, const void *from, int64_t bytes) {
  std::memcpy(to, from, bytes);
  return Status::success();
}

Status SimDevice::download(void *to, const void *from, int64_t bytes) {
  std::memcpy(to, from, bytes);
  return Status::success();
}

Status SimDevice::zero(void *at, int64_t bytes) {
  std::memset(at, 0, bytes);
  return Status::success();
}

int32_t SimDevice::launch(uint32_t kernel, const uint32_t grid[3],
                          void *const *params) {
  const qrt_variant &variant = running().variant();
  if (kernel >= variant.num_kernels)
    return fail(QRT_E_LAUNCH, makeError(6016, running().path(),
                                        "damaged module: it launches kernel {} "
                                        "of {}",
                                        kernel, variant.num_kernels));
  Status status = simulator.launch(variant.kernels[kernel], grid, params);
  if (!status) {
    status.error().where = running().kernelLocation(kernel);
    return fail(QRT_E_LAUNCH, status.error());
  }
  return QRT_E_OK;
}
