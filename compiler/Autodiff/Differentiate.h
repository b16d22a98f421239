//===- Differentiate.h - The gradient of a function -------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_AUTODIFF_DIFFERENTIATE_H
#define QWEN_COMPILER_AUTODIFF_DIFFERENTIATE_H

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace qwen {

/// Makes `@f_grad` behind `@f`, with the rules that make the training step:
///
///   (arguments of f..., a gradient for each float result of f...)
///     -> (results of f..., a gradient for each float argument of f...,
///         a gradient for each qwen.param of the module in its order)
///
/// Gradients of parameters are stacked where the parameter has layers. Fails
/// with a diagnostic where an op has no rule.
mlir::FailureOr<mlir::func::FuncOp> differentiate(mlir::func::FuncOp func);

} // namespace qwen

#endif // QWEN_COMPILER_AUTODIFF_DIFFERENTIATE_H
