//===- KernelTypes.cpp - Tensors as kernels see them ----------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Fusion/KernelTypes.h"

#include "compiler/Fusion/OpTable.h"
#include "dialects/Dist/DistDialect.h"
#include "dialects/Qwen/Entry.h"
#include "dialects/Qwen/QwenDialect.h"
#include "mlir/Interfaces/FunctionInterfaces.h"

using namespace mlir;
using namespace qwen;
using namespace qwen::fusion;

bool RowAnalysis::hasRows(Value value) {
  auto it = memo.find(value);
  if (it != memo.end())
    return it->second;
  bool result = compute(value);
  memo[value] = result;
  return result;
}

/// Follows a result of qwen.layers to where it comes from.
static Value sourceOf(LayersOp layers, OpResult result) {
  unsigned index = result.getResultNumber();
  unsigned carried = layers.getCarried().size();
  if (index < carried)
    return layers.getCarried()[index];
  return layers.getBlock().getTerminator()->getOperand(index);
}

bool RowAnalysis::compute(Value value) {
  auto type = cast<RankedTensorType>(value.getType());
  if (type.getRank() == 0)
    return false;
  if (auto arg = dyn_cast<BlockArgument>(value)) {
    Operation *parent = arg.getOwner()->getParentOp();
    if (auto layers = dyn_cast<LayersOp>(parent))
      return hasRows(layers->getOperand(arg.getArgNumber()));
    auto func = cast<FunctionOpInterface>(parent);
    auto role =
        func.getArgAttrOfType<StringAttr>(arg.getArgNumber(), entry::kRole);
    // An entry without extents (the optimizer's) has no rows.
    return func->hasAttr(entry::kExtents) && role &&
           role.getValue() == entry::kInput;
  }
  auto result = cast<OpResult>(value);
  Operation *op = result.getOwner();
  if (auto layers = dyn_cast<LayersOp>(op))
    return hasRows(sourceOf(layers, result));
  if (auto reshape = dyn_cast<ReshapeOp>(op))
    return hasRows(reshape.getOperand());
  if (dist::isCollective(op))
    return hasRows(op->getOperand(0));
  const OpEntry *entry = lookupOp(op);
  if (!entry || (entry->staticResults >> result.getResultNumber() & 1))
    return false;
  // Elementwise on weights (a cast of a master, say) keeps their shape.
  return op->getNumOperands() == 0 || hasRows(op->getOperand(0));
}

RankedTensorType fusion::kernelType(RankedTensorType type, bool keepsSequence) {
  SmallVector<int64_t> shape(type.getShape());
  shape[0] = ShapedType::kDynamic;
  if (shape.size() >= 2) {
    if (keepsSequence)
      shape[1] = ShapedType::kDynamic;
    else
      shape.erase(shape.begin() + 1);
  }
  return RankedTensorType::get(shape, type.getElementType());
}
