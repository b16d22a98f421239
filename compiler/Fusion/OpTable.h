//===- OpTable.h - What fusion knows of the model ops -----------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_FUSION_OPTABLE_H
#define QWEN_COMPILER_FUSION_OPTABLE_H

#include "dialects/Kernel/KernelDialect.h"
#include "mlir/IR/Operation.h"

namespace qwen::fusion {

/// How an op may join the kernel of its producer.
enum class Joins {
  Never,
  Rowwise,     // a row-wise kernel on the same rows
  Elementwise, // that, or the epilogue of a contraction
};

/// One row of the table: an op that can be a kernel's.
struct OpEntry {
  llvm::StringLiteral name; // operation name
  kernel::Root root;
  Joins joins;
  /// The kernel keeps batch and sequence apart.
  bool keepsSequence;
  /// Its results have no rows (weights, gradients, scalars), but for those in
  /// the mask (bit i = result i).
  uint32_t staticResults;
  /// (operand, result) pairs that share memory.
  llvm::ArrayRef<std::pair<int8_t, int8_t>> inplace;
};

/// The entry of `op`, or null if it cannot be in a kernel.
const OpEntry *lookupOp(mlir::Operation *op);

} // namespace qwen::fusion

#endif // QWEN_COMPILER_FUSION_OPTABLE_H
