//===- Targets.h - What a module is compiled for -------------- -*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Up to `shard` a module is for no target. Then it is copied for each of
// --target; in printed IR the copies are nested modules of one.
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_CODEGEN_TARGETS_H
#define QWEN_COMPILER_CODEGEN_TARGETS_H

#include <vector>

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"

namespace qwen {

/// On a module after `shard`: one of targetNames().
inline constexpr llvm::StringLiteral kTargetAttr = "qwen.target";

/// The values of --target.
llvm::ArrayRef<llvm::StringRef> targetNames();

/// The target of `module`; "cpu" if it has none.
llvm::StringRef targetOf(mlir::ModuleOp module);

/// Whether `target` has kernels of a GPU.
inline bool isGpuTarget(llvm::StringRef target) { return target != "cpu"; }

/// The target whose kernels are those of a GPU, run by the host.
inline constexpr llvm::StringLiteral kCudaSim = "cuda-sim";

using OwnedModules = std::vector<mlir::OwningOpRef<mlir::ModuleOp>>;

/// Copies of `module`, one for each target.
OwnedModules copyForTargets(mlir::ModuleOp module,
                            llvm::ArrayRef<std::string> targets);

/// One module with all of `modules` inside, or the only one.
mlir::OwningOpRef<mlir::ModuleOp> joinTargets(const OwnedModules &modules);

/// The modules that joinTargets has joined.
OwnedModules takeTargets(mlir::OwningOpRef<mlir::ModuleOp> module);

} // namespace qwen

#endif // QWEN_COMPILER_CODEGEN_TARGETS_H
