//===- SharedMemory.h - How much shared memory there is ---------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_CODEGEN_NVIDIA_SHAREDMEMORY_H
#define QWEN_COMPILER_CODEGEN_NVIDIA_SHAREDMEMORY_H

#include "compiler/Codegen/Nvidia/NvidiaKernels.h"

namespace qwen::nvidia {

/// The most that a block may have (compute capability 9.0).
inline constexpr int64_t kMaxSharedBytes = 227 << 10;

/// Reports an error at `op` if the launch needs more.
inline mlir::LogicalResult verifyShared(mlir::Operation *op,
                                        const Launch &launch) {
  if (launch.sharedBytes <= kMaxSharedBytes)
    return mlir::success();
  return op->emitError("needs ")
         << launch.sharedBytes << " bytes of shared memory, a GPU has "
         << kMaxSharedBytes;
}

} // namespace qwen::nvidia

#endif // QWEN_COMPILER_CODEGEN_NVIDIA_SHAREDMEMORY_H
