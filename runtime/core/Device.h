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
  static int32_t collectiveStart(qrt_ctx *ctx, const qrt_collective *collective,
                                 const void *in, void *out);
  static int32_t collectiveWait(qrt_ctx *ctx);
  static int32_t launch(qrt_ctx *ctx, uint32_t kernel, const uint32_t grid[3],
                        void *const *params);
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
