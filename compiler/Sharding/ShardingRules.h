//===- ShardingRules.h - How the ops may be split -----------------*- C++
//-*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A rule says what the dimensions of an op's tensors have in common: its
// factors, as in Einstein notation. Splitting a factor splits every dimension
// made of it; where a result lacks a factor that is split, it is a partial sum.
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_SHARDING_SHARDINGRULES_H
#define QWEN_COMPILER_SHARDING_SHARDINGRULES_H

#include "dialects/Dist/Sharding.h"
#include "mlir/IR/Operation.h"

#include <optional>

namespace qwen {

/// The factors of one dimension, major first (none: a dimension of size 1).
using DimFactors = llvm::SmallVector<unsigned, 2>;
using TensorFactors = llvm::SmallVector<DimFactors, 4>;

struct ShardingRule {
  llvm::SmallVector<int64_t> sizes; // of the factors
  std::vector<TensorFactors> operands, results;
  /// Factors that cannot be split: those of the op need all of them.
  llvm::SmallVector<bool> replicated;
  /// The operand that results[accResult] adds to, or -1.
  int accumulator = -1;
  unsigned accResult = 0;
  /// The operand that holds numbers along factor `indexed`, or -1.
  int indices = -1;
  unsigned indexed = 0;
  /// The operands that may be partial sums, which the results then are too.
  llvm::SmallVector<bool> linear;
  /// Linear in all operands at once (a sum), not in each alone.
  bool isSum = false;
  /// The results that lack a factor are the largest, not the sum.
  bool isMax = false;
  /// Partial over the whole mesh, whatever is split: each device's part.
  bool isGlobal = false;
  /// The factor of the batch that nothing gives: the entry's, or -1.
  int batch = -1;
};

/// The rule of `op`, or nothing if the table has none.
std::optional<ShardingRule> getShardingRule(mlir::Operation *op);

/// The sub-axes of every factor that `dims` gives, clipped to what the factors'
/// sizes allow: a factor behind another one in its dimension is split only if
/// that one is split wholly.
llvm::SmallVector<dist::Axes> axesOfFactors(const ShardingRule &rule,
                                            const TensorFactors &tensor,
                                            const dist::Sharding &sharding,
                                            const dist::SubAxes &mesh);

/// The sharding of a tensor whose factors are split like `factors`.
dist::Sharding shardingOf(const TensorFactors &tensor,
                          llvm::ArrayRef<dist::Axes> factors);

} // namespace qwen

#endif // QWEN_COMPILER_SHARDING_SHARDINGRULES_H
