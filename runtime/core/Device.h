//===- Device.h - Where a module runs ---------------------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_CORE_DEVICE_H
#define QWEN_RUNTIME_CORE_DEVICE_H

#include "runtime/abi/qwen_module.h"
#include "runtime/core/Buffer.h"
#include "runtime/cpu/ThreadPool.h"

#include <memory>

namespace qrt {

/// One device: the context that a module sees and the device's own threads.
/// Entry points are called from one thread at a time, the device's main thread.
/// Several devices in one process share nothing.
class Device {
public:
  /// `threads` of this device alone, at least 1 (the main thread counts).
  static Expected<std::unique_ptr<Device>> create(int threads);

  qrt_ctx *context() { return &ctx.base; }
  ThreadPool &pool() { return threadPool; }

  /// Gives every worker at least `bytes` of private scratch.
  Status reserveScratch(int64_t bytes);

private:
  explicit Device(int threads) : threadPool(threads) {}

  struct Context {
    qrt_ctx base;
    Device *device;
  };
  static void parallelFor(qrt_ctx *ctx, const char *name, qrt_task task,
                          void *args, int64_t n, int64_t grain);
  static int32_t collective(qrt_ctx *ctx, int32_t kind, int32_t reduction,
                            int32_t dtype, uint64_t axes, const void *in,
                            void *out, int64_t count);
  static const qrt_api kApi;

  Context ctx{};
  Buffer scratch;
  int64_t scratchBytes = 0;
  ThreadPool threadPool;
};

/// The threads of each of `devices` devices when the user asked for `threads`
/// in all (0: all processors): an equal part, at least 1.
int threadsPerDevice(int threads, int devices);

} // namespace qrt

#endif // QWEN_RUNTIME_CORE_DEVICE_H
