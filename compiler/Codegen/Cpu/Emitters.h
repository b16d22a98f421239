//===- Emitters.h - The emitters of CPU kernels -----------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_CODEGEN_CPU_EMITTERS_H
#define QWEN_COMPILER_CODEGEN_CPU_EMITTERS_H

#include "compiler/Codegen/Cpu/CpuKernels.h"
#include "compiler/Codegen/RelayoutForm.h"

namespace qwen::cpu {

using namespace codegen;

#define EMITTER(Name, condition)                                               \
  mlir::FailureOr<KernelCode> emit##Name(kernel::FuncOp, const CpuTarget &,    \
                                         mlir::ModuleOp);                      \
  int64_t workspace##Name(kernel::FuncOp, const CpuTarget &, int64_t maxRows);
#include "compiler/Codegen/Cpu/Emitters.def"

} // namespace qwen::cpu

#endif // QWEN_COMPILER_CODEGEN_CPU_EMITTERS_H
