//===- QwenOps.cpp - Methods of the model ops -----------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Qwen/QwenDialect.h"

using namespace mlir;
using namespace qwen;

//===----------------------------------------------------------------------===//
// LayersOp
//===----------------------------------------------------------------------===//

ValueRange LayersOp::getCarriedArgs() {
  return getBlock().getArguments().take_front(getCarried().size());
}

ValueRange LayersOp::getSliceArgs() {
  return getBlock().getArguments().slice(getCarried().size(),
                                         getSlices().size());
}

ValueRange LayersOp::getStateArgs() {
  return getBlock().getArguments().take_back(getStates().size());
}

ResultRange LayersOp::getCarriedResults() {
  return getResults().take_front(getCarried().size());
}

ResultRange LayersOp::getStackedResults() {
  return getResults()
      .drop_front(getCarried().size())
      .drop_back(getStates().size());
}

ResultRange LayersOp::getStateResults() {
  return getResults().take_back(getStates().size());
}

RankedTensorType LayersOp::stack(Type slice, int64_t count) {
  auto type = cast<RankedTensorType>(slice);
  SmallVector<int64_t> shape{count};
  llvm::append_range(shape, type.getShape());
  return RankedTensorType::get(shape, type.getElementType());
}

RankedTensorType LayersOp::slice(Type stacked) {
  auto type = cast<RankedTensorType>(stacked);
  return RankedTensorType::get(type.getShape().drop_front(),
                               type.getElementType());
}

//===----------------------------------------------------------------------===//
// ReshapeOp
//===----------------------------------------------------------------------===//

Value qwen::behindReshapes(Value value) {
  while (auto reshape = value.getDefiningOp<ReshapeOp>())
    value = reshape.getOperand();
  return value;
}

#define GET_OP_CLASSES
#include "dialects/Qwen/QwenOps.cpp.inc"
