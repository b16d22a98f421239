//===- Epilogue.cpp - Elementwise code behind a product -------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Codegen/Epilogue.h"
#include "dialects/Kernel/KernelDialect.h"

using namespace mlir;
using namespace qwen;
using namespace qwen::codegen;

void Epilogue::moveTo(Value newRow, Value newColumn, Value newKnown) {
  row = newRow;
  column = newColumn;
  known = newKnown;
  memo.clear();
}

FailureOr<Value> Epilogue::evaluate(Value value) {
  return evaluate(value, {Coordinate::Row, Coordinate::Column});
}

FailureOr<SmallVector<Value>> Epilogue::evaluateAll(ValueRange values) {
  SmallVector<Value> results;
  for (Value value : values) {
    FailureOr<Value> result = evaluate(value);
    if (failed(result))
      return failure();
    results.push_back(*result);
  }
  return results;
}

Value Epilogue::spread(Value scalar) {
  return lanes ? b.splat(scalar, lanes) : scalar;
}

Value Epilogue::loadArgument(BlockArgument argument, const Coordinates &at) {
  auto type = cast<RankedTensorType>(argument.getType());
  Type element = type.getElementType();
  Value offset = b.i64(0);
  int64_t stride = 1;
  bool hasColumn = false;
  for (int64_t d = type.getRank() - 1; d >= 0; --d) {
    if (at[d] != Coordinate::Zero)
      offset = b.addI(offset,
                      b.mulI(at[d] == Coordinate::Row ? row : column, stride));
    hasColumn |= at[d] == Coordinate::Column;
    // Only the first dimension may be dynamic: its stride is known.
    if (d > 0)
      stride *= type.getDimSize(d);
  }
  Value pointer = b.argument(argument.getArgNumber());
  if (!hasColumn || !lanes)
    return spread(b.widen(b.load(element, pointer, offset)));
  if (loadLanes)
    return loadLanes(element, pointer, offset);
  return b.loadF32(element, lanes, pointer, offset);
}

FailureOr<Value> Epilogue::evaluate(Value value, const Coordinates &at) {
  if (value == product)
    return known;
  for (auto &[coordinates, result] : memo[value])
    if (coordinates == at)
      return result;
  auto remember = [&](Value result) {
    memo[value].push_back({at, result});
    return result;
  };
  Operation *op = value.getDefiningOp();
  if (!op)
    return remember(loadArgument(cast<BlockArgument>(value), at));
  if (auto broadcast = dyn_cast<kernel::BroadcastOp>(op)) {
    auto type = cast<RankedTensorType>(broadcast.getOperand().getType());
    Coordinates inner;
    for (auto [d, dim] : llvm::enumerate(broadcast.getDims()))
      inner.push_back(type.getDimSize(d) == 1 ? Coordinate::Zero : at[dim]);
    FailureOr<Value> result = evaluate(broadcast.getOperand(), inner);
    if (failed(result))
      return failure();
    return remember(*result);
  }
  if (auto constant = dyn_cast<arith::ConstantOp>(op))
    if (Value scalar = b.splatConstant(constant))
      return remember(spread(b.widen(scalar)));

  SmallVector<Value> operands;
  for (Value operand : op->getOperands()) {
    FailureOr<Value> result = evaluate(operand, at);
    if (failed(result))
      return failure();
    operands.push_back(*result);
  }
  // Rounding is where the body says so; widening changes nothing.
  if (isa<arith::ExtFOp>(op))
    return remember(operands[0]);
  if (isa<arith::TruncFOp>(op))
    return remember(
        b.widen(b.narrow(operands[0], getElementTypeOrSelf(value.getType()))));
  Value result = b.elementwise(op, operands);
  if (!result)
    return op->emitError("not an elementwise op in a product's epilogue"),
           failure();
  return remember(result);
}
