//===- Passes.h - Passes of the phase `remat` -------------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_REMAT_PASSES_H
#define QWEN_COMPILER_REMAT_PASSES_H

#include "dialects/Qwen/QwenDialect.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/Pass.h"

namespace qwen {
#define GEN_PASS_DECL
#define GEN_PASS_REGISTRATION
#include "compiler/Remat/Passes.h.inc"

/// Bytes that `function` saves for its backward pass, as `remat` has noted in
/// the module; 0 if it saves nothing.
int64_t savedBytes(mlir::ModuleOp module, llvm::StringRef function);
} // namespace qwen

#endif // QWEN_COMPILER_REMAT_PASSES_H
