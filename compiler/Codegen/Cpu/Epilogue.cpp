//===- Epilogue.cpp - Elementwise code on a tile of a product -------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Codegen/Cpu/Epilogue.h"
#include "dialects/Kernel/KernelDialect.h"

using namespace mlir;
using namespace qwen;
using namespace qwen::cpu;

void Epilogue::moveTo(Value newRow, Value newColumn, Value newLanes,
                      Value newMask) {
  row = newRow;
  column = newColumn;
  lanes = newLanes;
  mask = newMask;
  memo.clear();
}

FailureOr<Value> Epilogue::evaluate(Value value) {
  return evaluate(value, {Coordinate::Row, Coordinate::Column});
}

Value Epilogue::loadArgument(Value argument, const Coordinates &at) {
  auto type = cast<RankedTensorType>(argument.getType());
  Type element = type.getElementType();
  Value offset = b.cst(0);
  int64_t stride = 1;
  bool isVector = false;
  for (int64_t d = type.getRank() - 1; d >= 0; --d) {
    if (at[d] != Coordinate::Zero)
      offset =
          b.add(offset, b.mul(at[d] == Coordinate::Row ? row : column, stride));
    isVector |= at[d] == Coordinate::Column;
    // Only the first dimension may be dynamic: its stride is known.
    if (d > 0)
      stride *= type.getDimSize(d);
  }
  Value address = b.at(pointers.lookup(argument), offset, element);
  if (isVector)
    return b.loadV(element, address, mask);
  return b.splat(b.loadF(element, address));
}

FailureOr<Value> Epilogue::evaluate(Value value, const Coordinates &at) {
  if (value == product)
    return lanes;
  for (auto &[coordinates, known] : memo[value])
    if (coordinates == at)
      return known;
  auto remember = [&](Value result) {
    memo[value].push_back({at, result});
    return result;
  };
  Operation *op = value.getDefiningOp();
  if (!op)
    return remember(loadArgument(value, at));

  Type element = getElementTypeOrSelf(value.getType());
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
      return remember(b.splat(b.widen(scalar)));

  SmallVector<Value> operands;
  for (Value operand : op->getOperands()) {
    FailureOr<Value> lanesOf = evaluate(operand, at);
    if (failed(lanesOf))
      return failure();
    operands.push_back(*lanesOf);
  }
  // Rounding is where the body says so; widening changes nothing.
  if (isa<arith::ExtFOp>(op))
    return remember(operands[0]);
  if (isa<arith::TruncFOp>(op))
    return remember(b.roundTo(operands[0], element));
  Value result = b.elementwise(op, operands);
  if (!result)
    return op->emitError("not an elementwise op in a product's epilogue"),
           failure();
  return remember(result);
}
