//===- KernelForm.h - What a kernel is built around ----------- -*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_CODEGEN_KERNELFORM_H
#define QWEN_COMPILER_CODEGEN_KERNELFORM_H

#include "dialects/Kernel/KernelDialect.h"
#include "dialects/Qwen/QwenDialect.h"

namespace qwen::codegen {

inline bool rootIs(kernel::FuncOp kernel, kernel::Root root) {
  return kernel.getRoot() == root;
}

/// The block op of a block kernel, or null.
template <typename Op> Op blockOp(kernel::FuncOp kernel) {
  if (!rootIs(kernel, kernel::Root::Block))
    return nullptr;
  auto ops = kernel.getBody().front().getOps<Op>();
  return ops.empty() ? Op() : *ops.begin();
}

template <typename Op> bool blockIs(kernel::FuncOp kernel) {
  return static_cast<bool>(blockOp<Op>(kernel));
}

/// The reductions of a kernel to one number.
llvm::SmallVector<kernel::ReduceOp> totalsOf(kernel::FuncOp kernel);

/// Whether a row-wise kernel reduces something to one number.
inline bool reducesAll(kernel::FuncOp kernel) {
  return rootIs(kernel, kernel::Root::Rowwise) && !totalsOf(kernel).empty();
}

/// The sums of a kernel over all dimensions but the last.
llvm::SmallVector<kernel::ReduceOp> columnSumsOf(kernel::FuncOp kernel);

/// Whether some result of the kernel has 16-bit floats.
bool roundsTo16Bits(kernel::FuncOp kernel);

/// Calls `visit` for every kernel of `module` with the most rows that a launch
/// of it has.
void forEachKernel(mlir::ModuleOp module,
                   llvm::function_ref<void(kernel::FuncOp, int64_t)> visit);

} // namespace qwen::codegen

#endif // QWEN_COMPILER_CODEGEN_KERNELFORM_H
