//===- VaryingAxes.h - Along which axes devices differ ----------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_SHARDING_VARYINGAXES_H
#define QWEN_COMPILER_SHARDING_VARYINGAXES_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/DenseMap.h"

namespace qwen {

/// Of every value of a partitioned entry the sub-axes along which devices may
/// hold different tensors; along the others all hold copies. Any phase after
/// `shard`: it follows from arguments, parameters and collectives alone.
class VaryingAxes {
public:
  explicit VaryingAxes(mlir::func::FuncOp entry);

  /// A mask of sub-axes.
  uint64_t of(mlir::Value value) const { return masks.lookup(value); }

private:
  void visit(mlir::Block &block);
  void add(mlir::Value value, uint64_t mask);

  llvm::DenseMap<mlir::Value, uint64_t> masks;
  bool changed = false;
};

} // namespace qwen

#endif // QWEN_COMPILER_SHARDING_VARYINGAXES_H
