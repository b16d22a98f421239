//===- TileEpilogue.cpp - Elementwise code on sums of a product ---------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Codegen/Nvidia/TileEpilogue.h"

using namespace mlir;
using namespace qwen;
using namespace qwen::nvidia;

void TileEpilogue::moveTo(Value newRow, Value newColumn, Value newSums) {
  row = newRow;
  column = newColumn;
  sums = newSums;
  memo.clear();
}

FailureOr<Value> TileEpilogue::evaluate(Value value) {
  return evaluate(value, {Coordinate::Row, Coordinate::Column});
}

Value TileEpilogue::spread(Value scalar) {
  return lanes ? k.splat(scalar, lanes) : scalar;
}

Value TileEpilogue::loadArgument(BlockArgument argument,
                                 const Coordinates &at) {
  auto type = cast<RankedTensorType>(argument.getType());
  Type element = type.getElementType();
  Value offset = k.i64(0);
  int64_t stride = 1;
  bool hasColumn = false;
  for (int64_t d = type.getRank() - 1; d >= 0; --d) {
    if (at[d] != Coordinate::Zero)
      offset = k.addI(offset,
                      k.mulI(at[d] == Coordinate::Row ? row : column, stride));
    hasColumn |= at[d] == Coordinate::Column;
    // Only the first dimension may be dynamic: its stride is known.
    if (d > 0)
      stride *= type.getDimSize(d);
  }
  Value pointer = k.argument(argument.getArgNumber());
  if (hasColumn && lanes)
    return k.loadF32(element, lanes, pointer, offset);
  return spread(k.widen(k.load(element, pointer, offset)));
}

FailureOr<Value> TileEpilogue::evaluate(Value value, const Coordinates &at) {
  if (value == product)
    return sums;
  for (auto &[coordinates, known] : memo[value])
    if (coordinates == at)
      return known;
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
    if (Value scalar = k.splatConstant(constant))
      return remember(spread(k.widen(scalar)));

  SmallVector<Value> operands;
  for (Value operand : op->getOperands()) {
    FailureOr<Value> known = evaluate(operand, at);
    if (failed(known))
      return failure();
    operands.push_back(*known);
  }
  // Rounding is where the body says so; widening changes nothing.
  if (isa<arith::ExtFOp>(op))
    return remember(operands[0]);
  if (isa<arith::TruncFOp>(op))
    return remember(
        k.widen(k.narrow(operands[0], getElementTypeOrSelf(value.getType()))));
  Value result = k.elementwise(op, operands);
  if (!result)
    return op->emitError("not an elementwise op in a product's epilogue"),
           failure();
  return remember(result);
}
