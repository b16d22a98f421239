//===- MachineLimits.h - What this machine can reach ------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_CPU_MACHINELIMITS_H
#define QWEN_RUNTIME_CPU_MACHINELIMITS_H

#include "runtime/cpu/ThreadPool.h"

#include <cstdint>
#include <string>
#include <vector>

namespace qrt {

/// Measured limits of the machine, to compare a module's speed with.
struct MachineLimits {
  double readBytesPerSecond = 0;
  double flopsPerSecond = 0; ///< dense bf16 tiles or f32 fused multiply-adds
  std::string flopsKind;     ///< "amx-bf16", "avx512-f32", "avx2-f32"
};

/// Measures with all threads of `pool`, the best of a few runs (about a
/// second). `readBuffer` should be far larger than the caches; `amxTiles` says
/// whether the limit of a module that uses AMX is wanted (where the machine has
/// it).
MachineLimits measureMachineLimits(ThreadPool &pool, const void *readBuffer,
                                   int64_t readBytes, bool amxTiles);

} // namespace qrt

#endif // QWEN_RUNTIME_CPU_MACHINELIMITS_H
