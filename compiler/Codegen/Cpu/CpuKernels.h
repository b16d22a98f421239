//===- CpuKernels.h - Kernels of the CPU ------------------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A kernel.func becomes one or a few tasks that run one after the other, each
// in parallel over its units:
//
//   func.func @<kernel>$<n>(%args: !llvm.ptr, %begin: i64, %end: i64,
//                           %scratch: !llvm.ptr)
//
// %args points to 8-byte slots: the arguments' pointers, the results' pointers,
// the workspace's pointer, and the numbers batch, sequence and rows (i64). An
// argument and a result in the same memory have the same pointer in both slots.
// What a unit computes depends neither on [begin, end) nor on the worker.
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_CODEGEN_CPU_CPUKERNELS_H
#define QWEN_COMPILER_CODEGEN_CPU_CPUKERNELS_H

#include "compiler/Codegen/Cpu/CpuTarget.h"
#include "dialects/Kernel/KernelDialect.h"
#include "mlir/IR/AffineMap.h"
#include "mlir/IR/BuiltinOps.h"

namespace qwen::cpu {

/// One parallel loop.
struct Task {
  /// Name of the function in the codegen module.
  std::string symbol;
  /// Number of units: no dimensions, symbols (batch, sequence, rows).
  mlir::AffineMap units;
  /// Units a worker takes at a time, or more: the least of the results.
  mlir::AffineMap grain;
};

/// The code of one kernel.
struct KernelCode {
  /// In order; each starts when the one before has ended.
  llvm::SmallVector<Task> tasks;
  /// Bytes of worker-private scratch that the tasks need.
  int64_t scratchBytes = 0;
};

/// Bytes of workspace (shared by the workers, contents undefined at the start)
/// that a launch of `kernel` needs for at most `maxRows` rows.
int64_t workspaceBytes(kernel::FuncOp kernel, const CpuTarget &target,
                       int64_t maxRows);

/// Emits the tasks of `kernel` into `codegenModule`. A kernel that no emitter
/// takes is reported as an error at its location.
mlir::FailureOr<KernelCode> emitKernel(kernel::FuncOp kernel,
                                       const CpuTarget &target,
                                       mlir::ModuleOp codegenModule);

/// Loads the dialects that emitted code consists of.
void registerCodegenDialects(mlir::DialectRegistry &registry);

} // namespace qwen::cpu

#endif // QWEN_COMPILER_CODEGEN_CPU_CPUKERNELS_H
