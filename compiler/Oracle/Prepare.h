//===- Prepare.h - From a module to what the interpreter runs ---*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_ORACLE_PREPARE_H
#define QWEN_COMPILER_ORACLE_PREPARE_H

#include "mlir/IR/BuiltinOps.h"

namespace qwen::oracle {

/// The float types that a module is run in.
enum class Precision {
  AsIs, // as they are written
  F32,  // f32 for every float type
  F64,  // f64 for every float type
};

/// Writes `precision` into all types and constants of `module`. Do this before
/// passes and decompositions, so that they compute in it too.
void setPrecision(mlir::ModuleOp module, Precision precision);

/// Makes everything in `module` elementary: gives every launch a kernel of its
/// own with the actual sizes for `?`, then decomposes all ops of the model but
/// qwen.layers, qwen.get_param and qwen.reshape.
mlir::LogicalResult makeElementary(mlir::ModuleOp module);

} // namespace qwen::oracle

#endif // QWEN_COMPILER_ORACLE_PREPARE_H
