//===- Emitters.h - The emitters of GPU kernels --------------- -*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_CODEGEN_NVIDIA_EMITTERS_H
#define QWEN_COMPILER_CODEGEN_NVIDIA_EMITTERS_H

#include "compiler/Codegen/Nvidia/NvidiaKernels.h"
#include "compiler/Codegen/RelayoutForm.h"

namespace qwen::nvidia {

using namespace codegen;

#define EMITTER(Name, condition)                                               \
  mlir::FailureOr<KernelCode> emit##Name(kernel::FuncOp, const NvidiaTarget &, \
                                         mlir::gpu::GPUModuleOp);              \
  int64_t workspace##Name(kernel::FuncOp, const NvidiaTarget &,                \
                          int64_t maxRows);
#include "compiler/Codegen/Nvidia/Emitters.def"

} // namespace qwen::nvidia

#endif // QWEN_COMPILER_CODEGEN_NVIDIA_EMITTERS_H
