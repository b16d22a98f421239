//===- NvidiaKernels.h - Kernels of NVIDIA GPUs --------------- -*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A kernel.func becomes one or a few GPU kernels that run one after the other:
//
//   llvm.func @<kernel>$<n>(arguments' pointers, pointers of the results that
//       are not in place, the workspace's pointer: !llvm.ptr<1>,
//       batch, sequence, rows: i64) attributes {nvvm.kernel, nvvm.maxntid}
//
// inside of the gpu.module @kernels, in the dialects arith, scf, vector, llvm
// and nvvm. Global pointers are aligned to 16 bytes. A kernel reads extents,
// never sizes of the compilation, and its grid is an expression of them. Shared
// memory is dynamic: the symbol @shared. No kernel calls a function.
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_CODEGEN_NVIDIA_NVIDIAKERNELS_H
#define QWEN_COMPILER_CODEGEN_NVIDIA_NVIDIAKERNELS_H

#include "dialects/Kernel/KernelDialect.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/IR/AffineMap.h"
#include "mlir/IR/BuiltinOps.h"
#include "runtime/abi/qwen_module.h"

namespace qwen::nvidia {

struct NvidiaTarget {
  /// Functions of f32 as exact as on the CPU everywhere. Without it, kernels
  /// whose results are rounded to 16 bits use the hardware's approximations.
  bool precise = false;
};

/// One launch of a GPU kernel.
struct Launch {
  /// Name of the function in the gpu.module.
  std::string symbol;
  /// Blocks in x, y, z: no dimensions, symbols (batch, sequence, rows). With a
  /// zero among them the kernel is not launched.
  std::array<mlir::AffineMap, 3> grid;
  /// Threads of a block, all in x.
  int64_t threads;
  /// Bytes of dynamic shared memory of a block.
  int64_t sharedBytes;
  /// What a library may do instead of it; its kernel is not numbered yet.
  std::optional<qrt_product> library = std::nullopt;
  /// Whether it is launched only where the library did the launch before.
  bool followsLibrary = false;
};

/// The code of one kernel, in the order of its launches.
using KernelCode = llvm::SmallVector<Launch>;

/// Bytes of workspace (contents undefined at the start) that a launch of
/// `kernel` needs for at most `maxRows` rows.
int64_t workspaceBytes(kernel::FuncOp kernel, const NvidiaTarget &target,
                       int64_t maxRows);

/// Emits the GPU kernels of `kernel` into `module`. A kernel that no emitter
/// takes is reported as an error at its location.
mlir::FailureOr<KernelCode> emitKernel(kernel::FuncOp kernel,
                                       const NvidiaTarget &target,
                                       mlir::gpu::GPUModuleOp module);

} // namespace qwen::nvidia

#endif // QWEN_COMPILER_CODEGEN_NVIDIA_NVIDIAKERNELS_H
