//===- Relayout.h - Copies around collectives -------------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_CODEGEN_CPU_RELAYOUT_H
#define QWEN_COMPILER_CODEGEN_CPU_RELAYOUT_H

#include "compiler/Codegen/Cpu/CpuKernels.h"

namespace qwen::cpu {

/// Whether a kernel is dist.slice, dist.pack, dist.unpack or dist.pad_groups.
bool isRelayout(kernel::FuncOp kernel);
mlir::FailureOr<KernelCode> emitRelayout(kernel::FuncOp kernel,
                                         const CpuTarget &target,
                                         mlir::ModuleOp module);
int64_t workspaceRelayout(kernel::FuncOp kernel, const CpuTarget &target,
                          int64_t maxRows);

} // namespace qwen::cpu

#endif // QWEN_COMPILER_CODEGEN_CPU_RELAYOUT_H
