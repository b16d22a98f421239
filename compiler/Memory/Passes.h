//===- Passes.h - Passes of the memory phase --------------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_MEMORY_PASSES_H
#define QWEN_COMPILER_MEMORY_PASSES_H

#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/Pass.h"

namespace qwen {

/// On an entry: its arguments by slot (see the pass assign-slots).
inline constexpr llvm::StringLiteral kEntryArgs = "qwen.args";
/// On an entry: {activations, bytes, workspace} of its arena.
inline constexpr llvm::StringLiteral kEntryArena = "qwen.arena";

#define GEN_PASS_DECL
#define GEN_PASS_REGISTRATION
#include "compiler/Memory/Passes.h.inc"
} // namespace qwen

#endif // QWEN_COMPILER_MEMORY_PASSES_H
