//===- LowerToLLVM.h - From upstream dialects to the LLVM dialect -*- C++
//-*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_MODULE_LOWERTOLLVM_H
#define QWEN_COMPILER_MODULE_LOWERTOLLVM_H

#include "mlir/IR/DialectRegistry.h"
#include "mlir/Pass/PassManager.h"

namespace qwen {

/// Registers the upstream dialects that generated code may use, what they need
/// to become the LLVM dialect, and their translation to LLVM IR.
void registerCodegenDialects(mlir::DialectRegistry &registry);

/// Appends the passes that turn a module of func, scf, cf, arith, math, vector,
/// memref and amx ops into the LLVM dialect. Functions take bare pointers:
/// memref arguments need static shapes.
void buildLowerToLLVM(mlir::OpPassManager &pm);

} // namespace qwen

#endif // QWEN_COMPILER_MODULE_LOWERTOLLVM_H
