//===- Emitters.h - The emitters of CPU kernels -----------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_CODEGEN_CPU_EMITTERS_H
#define QWEN_COMPILER_CODEGEN_CPU_EMITTERS_H

#include "compiler/Codegen/Cpu/CpuKernels.h"
#include "dialects/Qwen/QwenDialect.h"

namespace qwen::cpu {

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

/// Whether a row-wise kernel reduces something to one number.
bool reducesAll(kernel::FuncOp kernel);

#define EMITTER(Name, condition)                                               \
  mlir::FailureOr<KernelCode> emit##Name(kernel::FuncOp, const CpuTarget &,    \
                                         mlir::ModuleOp);                      \
  int64_t workspace##Name(kernel::FuncOp, const CpuTarget &, int64_t maxRows);
#include "compiler/Codegen/Cpu/Emitters.def"

} // namespace qwen::cpu

#endif // QWEN_COMPILER_CODEGEN_CPU_EMITTERS_H
