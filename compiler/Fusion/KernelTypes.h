//===- KernelTypes.h - Tensors as kernels see them --------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_FUSION_KERNELTYPES_H
#define QWEN_COMPILER_FUSION_KERNELTYPES_H

#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Value.h"
#include "llvm/ADT/DenseMap.h"

namespace qwen::fusion {

/// Tells activations ([batch, sequence, ...], dense with the actual extents)
/// from tensors of fixed shape (weights, gradients, caches, scalars).
class RowAnalysis {
public:
  /// True if `value` leads with the entry's runtime extents.
  bool hasRows(mlir::Value value);
  /// Tells what a new value is.
  void set(mlir::Value value, bool rows) { memo[value] = rows; }

private:
  bool compute(mlir::Value value);
  llvm::DenseMap<mlir::Value, bool> memo;
};

/// The type a kernel sees for a tensor with rows: batch and sequence merged
/// into one dynamic dimension, or both dynamic if `keepsSequence`.
mlir::RankedTensorType kernelType(mlir::RankedTensorType type,
                                  bool keepsSequence);

} // namespace qwen::fusion

#endif // QWEN_COMPILER_FUSION_KERNELTYPES_H
