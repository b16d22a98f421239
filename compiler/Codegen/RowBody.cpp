//===- RowBody.cpp - What a kernel's body consists of ---------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Codegen/RowEval.h"

using namespace mlir;
using namespace qwen;
using namespace qwen::codegen;

kernel::ReturnOp codegen::returnOf(kernel::FuncOp kernel) {
  return cast<kernel::ReturnOp>(kernel.getBody().front().getTerminator());
}

LogicalResult codegen::checkBody(kernel::FuncOp kernel) {
  auto isArgument = [](Value value) { return isa<BlockArgument>(value); };
  for (Operation &op : kernel.getBody().front()) {
    bool known = isElementwise(&op) ||
                 isa<arith::ConstantOp, kernel::BroadcastOp, kernel::ReduceOp,
                     kernel::GatherOp, kernel::SliceOp, kernel::ConcatOp,
                     kernel::ElementOp, kernel::IotaOp, kernel::ScatterAddOp,
                     kernel::ReturnOp>(op);
    if (!known)
      return op.emitError("a row-wise kernel cannot hold this op: ")
             << op.getName();
    if (auto gather = dyn_cast<kernel::GatherOp>(op);
        gather && !isArgument(gather.getTable()))
      return op.emitError("the table of a gather is not a kernel's argument");
    if (auto element = dyn_cast<kernel::ElementOp>(op);
        element && !isArgument(element.getOperand()))
      return op.emitError("an element of a tensor that is not an argument");
    if (auto reduce = dyn_cast<kernel::ReduceOp>(op);
        reduce && !tensorOf(reduce).getElementType().isF32())
      return op.emitError("a reduction of elements other than f32: ")
             << tensorOf(reduce).getElementType();
    for (Value value : op.getResults())
      if (tensorOf(value).getElementType().isF64())
        return op.emitError("kernels do not compute in f64");
  }
  return success();
}

/// Follows `value` up to arguments and scalars; false if something is neither a
/// scalar nor of shape `shape`, or not elementwise.
static bool isFlatAt(Value value, ArrayRef<int64_t> shape,
                     llvm::SmallPtrSetImpl<Value> &seen) {
  if (!seen.insert(value).second)
    return true;
  RankedTensorType type = tensorOf(value);
  if (type.getRank() == 0)
    return true;
  if (type.getShape() != shape)
    return false;
  Operation *op = value.getDefiningOp();
  if (!op)
    return true;
  if (auto constant = dyn_cast<arith::ConstantOp>(op))
    return cast<DenseElementsAttr>(constant.getValue()).isSplat();
  if (!isElementwise(op) && !isa<kernel::BroadcastOp>(op))
    return false;
  return llvm::all_of(op->getOperands(), [&](Value operand) {
    return isFlatAt(operand, shape, seen);
  });
}

bool codegen::isFlat(ValueRange roots) {
  llvm::SmallPtrSet<Value, 32> seen;
  for (Value root : roots)
    if (tensorOf(root).getRank() == 0 ||
        !isFlatAt(root, tensorOf(roots.front()).getShape(), seen))
      return false;
  return !roots.empty();
}

int64_t codegen::staticElements(RankedTensorType type) {
  int64_t count = 1;
  for (int64_t size : type.getShape())
    count *= ShapedType::isDynamic(size) ? 1 : size;
  return count;
}

int64_t codegen::staticBytes(RankedTensorType type) {
  int64_t bits = type.getElementType().getIntOrFloatBitWidth();
  return staticElements(type) * std::max<int64_t>(1, bits / 8);
}
