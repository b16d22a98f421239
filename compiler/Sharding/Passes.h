//===- Passes.h - Passes of the phase `shard` -------------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_SHARDING_PASSES_H
#define QWEN_COMPILER_SHARDING_PASSES_H

#include "dialects/Dist/DistDialect.h"
#include "dialects/Qwen/QwenDialect.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/Pass.h"
#include "mlir/Pass/PassManager.h"

namespace qwen {
#define GEN_PASS_DECL
#define GEN_PASS_REGISTRATION
#include "compiler/Sharding/Passes.h.inc"

/// All passes of the phase but its verifier.
void buildShardPasses(mlir::OpPassManager &pm);

} // namespace qwen

#endif // QWEN_COMPILER_SHARDING_PASSES_H
