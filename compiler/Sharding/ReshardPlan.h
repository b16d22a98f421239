//===- ReshardPlan.h - From one sharding to another -------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_SHARDING_RESHARDPLAN_H
#define QWEN_COMPILER_SHARDING_RESHARDPLAN_H

#include "dialects/Dist/Sharding.h"

#include <optional>

namespace qwen {

/// One collective, or a choice of a block without communication.
struct ReshardStep {
  enum Kind { AllReduce, ReduceScatter, AllToAll, AllGather, Slice };
  Kind kind;
  /// Ascending but for slices, where the first axis is major.
  dist::Axes axes;
  /// The dimension that is joined (AllGather, AllToAll) or cut (others).
  int64_t dim = -1;
  /// AllToAll: the dimension that is cut.
  int64_t split = -1;
};

/// The steps that bring a tensor from `from` to `to`, neighbouring ones on
/// several sub-axes made one. Total but for one case: nothing if `to` has
/// partial axes that `from` does not have.
///
/// Greedy: what makes tensors smaller goes first (reduce_scatter, all_to_all,
/// slice, each only if the sub-axis is the next one that its dimension wants),
/// then all_reduce, then all_gather of the last sub-axis of a dimension that is
/// no prefix of its target. Every step brings one sub-axis nearer, so it ends.
std::optional<llvm::SmallVector<ReshardStep>>
planReshard(const dist::Sharding &from, const dist::Sharding &to);

} // namespace qwen

#endif // QWEN_COMPILER_SHARDING_RESHARDPLAN_H
