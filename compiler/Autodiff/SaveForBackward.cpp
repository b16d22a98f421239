//===- SaveForBackward.cpp - Ask ops for what their gradients need --------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Norms and attention have optional results (rstd, mean, log-sum-exp) that only
// their gradients read. Before differentiation every such op gets them.
//
//===----------------------------------------------------------------------===//

#include "compiler/Autodiff/SaveForBackward.h"

#include "dialects/Qwen/QwenDialect.h"

using namespace mlir;
using namespace qwen;

/// [..., C] -> [...], f32 (f64 for f64).
static RankedTensorType perRow(Type type) {
  auto tensor = cast<RankedTensorType>(type);
  Type element = tensor.getElementType().isF64()
                     ? tensor.getElementType()
                     : Float32Type::get(type.getContext());
  return RankedTensorType::get(tensor.getShape().drop_back(), element);
}

/// Replaces `op` by itself with `more` results at its end.
static void withResults(Operation *op, TypeRange more) {
  OpBuilder b(op);
  OperationState state(op->getLoc(), op->getName());
  state.addOperands(op->getOperands());
  state.addTypes(op->getResultTypes());
  state.addTypes(more);
  state.addAttributes(op->getAttrs());
  state.propertiesAttr = op->getPropertiesAsAttribute();
  Operation *replacement = b.create(state);
  op->replaceAllUsesWith(
      replacement->getResults().take_front(op->getNumResults()));
  op->erase();
}

void qwen::saveForBackward(Operation *root) {
  root->walk([](Operation *op) {
    if (auto norm = dyn_cast<RmsNormOp>(op); norm && !norm.getRstd()) {
      withResults(op, perRow(norm.getX().getType()));
    } else if (auto norm = dyn_cast<LayerNormOp>(op);
               norm && norm.getSaved().empty()) {
      Type saved = perRow(norm.getX().getType());
      withResults(op, {saved, saved});
    } else if (auto attention = dyn_cast<AttentionOp>(op);
               attention && !attention.getLse()) {
      withResults(op, perRow(attention.getQ().getType()));
    }
  });
}
