//===- AdjointRules.h - The derivative of every op --------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_AUTODIFF_ADJOINTRULES_H
#define QWEN_COMPILER_AUTODIFF_ADJOINTRULES_H

#include "mlir/IR/Builders.h"
#include "mlir/IR/Operation.h"
#include "llvm/ADT/STLFunctionalExtras.h"

namespace qwen {

/// What a rule works with: the backward program under construction.
class Adjoint {
public:
  virtual ~Adjoint() = default;

  explicit Adjoint(mlir::OpBuilder &builder) : b(builder) {}

  /// The gradient of a forward value, or null if the loss does not depend on
  /// it.
  virtual mlir::Value grad(mlir::Value forward) = 0;
  /// A forward value, readable in the backward program (saved if need be).
  virtual mlir::Value read(mlir::Value forward) = 0;
  /// Adds to the gradient of a forward value.
  virtual void add(mlir::Value forward, mlir::Value gradient) = 0;
  /// Adds to the f32 gradient of a weight: `build` gets the gradient so far and
  /// returns the new one.
  virtual void
  addWeight(mlir::Value weight,
            llvm::function_ref<mlir::Value(mlir::Value acc)> build) = 0;
  /// Says that the backward program computes a forward value as well.
  virtual void replace(mlir::Value forward, mlir::Value backward) = 0;

  mlir::OpBuilder &b;
};

/// Emits the gradients of the operands of `op`, whose results have gradients;
/// fails with a diagnostic if the table has no rule for it.
mlir::LogicalResult applyAdjointRule(mlir::Operation *op, Adjoint &adjoint);

/// True if gradients flow through `op`'s type of operation at all (ids,
/// positions and tables have none).
bool isDifferentiable(mlir::Operation *op);

} // namespace qwen

#endif // QWEN_COMPILER_AUTODIFF_ADJOINTRULES_H
