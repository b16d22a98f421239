//===- Passes.h - Passes of the memory phase --------------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_MEMORY_PASSES_H
#define QWEN_COMPILER_MEMORY_PASSES_H

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/TypeUtilities.h"
#include "mlir/Pass/Pass.h"

namespace qwen {

/// On an entry: its arguments by slot (see the pass assign-slots).
inline constexpr llvm::StringLiteral kEntryArgs = "qwen.args";
/// On an entry: {activations, bytes, workspace} of its arena; on a mesh
/// `varying` too: pairs of a mask of sub-axes and the bytes of activations that
/// differ between devices along these.
inline constexpr llvm::StringLiteral kEntryArena = "qwen.arena";

/// What tells apart the storages of one parameter that an entry reads: the
/// element type, or the name of a part of a quantized form.
inline mlir::Attribute storageKey(mlir::StringAttr storage, mlir::Type type) {
  if (storage && storage.getValue() != "compute")
    return storage;
  return mlir::TypeAttr::get(mlir::getElementTypeOrSelf(type));
}

#define GEN_PASS_DECL
#define GEN_PASS_REGISTRATION
#include "compiler/Memory/Passes.h.inc"
} // namespace qwen

#endif // QWEN_COMPILER_MEMORY_PASSES_H
