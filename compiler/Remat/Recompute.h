//===- Recompute.h - What to recompute, and what it costs -------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_REMAT_RECOMPUTE_H
#define QWEN_COMPILER_REMAT_RECOMPUTE_H

#include "dialects/Qwen/QwenDialect.h"
#include "llvm/ADT/SetVector.h"

namespace qwen {

/// A value that an iteration of the forward loop saves for the same layer's
/// iteration of the reverse loop.
struct SavedValue {
  mlir::Value value;    ///< in the forward body
  mlir::OpResult stack; ///< of the forward loop
  unsigned slice = 0;   ///< its number among the reverse loop's slices
  int64_t bytes = 0;    ///< of all layers
  bool isRecomputed = false;
  /// What recomputing it adds to the work of a step, of all layers; known once
  /// it has been chosen.
  int64_t flops = 0;
};

/// A forward loop, the reverse loop that reads what it saves, and the choice of
/// what is saved no longer but computed again there.
class RecomputePlan {
public:
  /// The plan of `forward`, with everything saved; none if no single reverse
  /// loop of as many layers reads its stacked results.
  static std::optional<RecomputePlan> create(LayersOp forward);

  /// The saved value that is cheapest to recompute next: fewest operations for
  /// each byte, counting the intermediate values that it needs and that nothing
  /// else recomputes; ties go to the larger, then to the first. Null: none can
  /// be.
  SavedValue *cheapest();
  /// Chooses `saved`, which `cheapest` has returned.
  void choose(SavedValue &saved);

  /// Bytes that are still saved.
  int64_t savedBytes() const;
  llvm::ArrayRef<SavedValue> values() const { return saved; }

  /// Rewrites both loops: chosen values are not stacked any more, and what they
  /// need is computed again in the reverse loop, right before its first use.
  /// The loops are replaced; the plan ends here.
  void apply();

private:
  RecomputePlan(LayersOp forward, LayersOp backward)
      : forward(forward), backward(backward) {}
  /// Adds the ops that make `value` from saved values and parameters; false if
  /// something else would be needed.
  bool collect(mlir::Value value, llvm::SetVector<mlir::Operation *> &ops);
  const SavedValue *find(mlir::Value value) const;
  void recompute();

  LayersOp forward, backward;
  llvm::SmallVector<SavedValue, 0> saved;
  /// Ops that the reverse loop repeats, each after its operands.
  llvm::SetVector<mlir::Operation *> repeated;
};

} // namespace qwen

#endif // QWEN_COMPILER_REMAT_RECOMPUTE_H
