//===- Device.cpp - Where a module runs -----------------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "runtime/core/Device.h"
#include "runtime/core/DType.h"
#include "runtime/cpu/CpuFeatures.h"

#include <algorithm>
#include <cstring>

using namespace qrt;

const qrt_api Device::kApi = {QRT_ABI_VERSION,         0,
                              &Device::parallelFor,    &Device::collectiveStart,
                              &Device::collectiveWait, &Device::launch};

Expected<std::unique_ptr<Device>> Device::create(int threads) {
  // Asks for AMX before the first thread exists; threads inherit the
  // permission.
  hostCpuFeatures();
  std::unique_ptr<Device> device;
  try {
    device.reset(new Device(std::max(threads, 1)));
  } catch (const std::exception &error) {
    return makeError(6021, "", "cannot start {} threads: {}", threads,
                     error.what());
  }
  device->ctx = {{&kApi}, device.get()};
  return device;
}

Status Device::reserveScratch(int64_t bytes) {
  if (bytes <= scratchBytes)
    return Status::success();
  // A page between neighbours keeps prefetchers of one worker out of the
  // other's lines.
  int64_t stride = alignUp(bytes, 4096) + 4096;
  QRT_ASSIGN_OR_RETURN(scratch, Buffer::allocate(stride * threadPool.threads(),
                                                 "the scratch of the threads"));
  scratchBytes = bytes;
  threadPool.setScratch(scratch.data(), stride);
  return Status::success();
}

void Device::parallelFor(qrt_ctx *ctx, const char *name, qrt_task task,
                         void *args, int64_t n, int64_t grain) {
  reinterpret_cast<Context *>(ctx)->device->threadPool.parallelFor(
      name, task, args, n, grain);
}

int32_t Device::collectiveStart(qrt_ctx *, const qrt_collective *collective,
                                const void *in, void *out) {
  // Over a group of one device every collective copies its input.
  int32_t dtype = collective->dtype;
  int64_t count = collective->count;
  if (dtype < 0 || dtype > QRT_U8 || count < 0)
    return QRT_E_COLLECTIVE;
  if (in != out)
    std::memmove(out, in, count * bytesOf(static_cast<DType>(dtype)));
  return QRT_E_OK;
}

int32_t Device::collectiveWait(qrt_ctx *) { return QRT_E_OK; }

// A CPU runs tasks; its modules have no kernels.
int32_t Device::launch(qrt_ctx *, uint32_t, const uint32_t[3], void *const *) {
  return QRT_E_LAUNCH;
}

int qrt::threadsPerDevice(int threads, int devices) {
  if (threads <= 0)
    threads = availableProcessors();
  return std::max(1, threads / std::max(devices, 1));
}
