//===- RowEval.cpp - Evaluates the elementary ops of a kernel -------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Codegen/RowEval.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace qwen;
using namespace qwen::codegen;

using Indices = SmallVector<Value, 3>;

//===----------------------------------------------------------------------===//
// What is known
//===----------------------------------------------------------------------===//

Value RowEval::lookup(Value value, Index index, Value variable, int64_t offset,
                      int64_t lanes) {
  for (const Known &entry : llvm::reverse(known))
    if (entry.value == value && entry.offset == offset &&
        entry.variable == variable && entry.lanes == lanes &&
        Index(entry.index) == index)
      return entry.result;
  return nullptr;
}

Value RowEval::remember(Value value, Index index, Value variable,
                        int64_t offset, int64_t lanes, Value result) {
  known.push_back({value, Indices(index), variable, offset, lanes, result});
  return result;
}

void RowEval::scope(function_ref<void()> body) {
  size_t mark = known.size();
  body();
  known.truncate(mark);
}

void RowEval::define(Value value, Index index, Value number) {
  remember(value, index, {}, kScalar, 0, number);
}

void RowEval::defineLanes(Value value, Index index, Column column,
                          int64_t lanes, Value number) {
  remember(value, index, column.variable, column.offset, lanes, number);
}

//===----------------------------------------------------------------------===//
// Evaluation
//===----------------------------------------------------------------------===//

Value RowEval::scalar(Value value, Index index) {
  if (Value found = lookup(value, index, {}, kScalar, 0))
    return found;
  if (auto op = value.getDefiningOp<kernel::ReduceOp>()) {
    reduce(op, index);
    return lookup(value, index, {}, kScalar, 0);
  }
  return remember(value, index, {}, kScalar, 0,
                  evaluate(value, index, nullptr, 0));
}

Value RowEval::lanes(Value value, Index index, Column column, int64_t lanes) {
  if (Value found = lookup(value, index, column.variable, column.offset, lanes))
    return found;
  Value result;
  if (Value row = lookup(value, index, {}, kStored, 0))
    result = loadAt(tensorOf(value).getElementType(), lanes, row, &column);
  else
    result = evaluate(value, index, &column, lanes);
  return remember(value, index, column.variable, column.offset, lanes, result);
}

/// Whether `value` is 1 everywhere.
static bool isOne(Value value) {
  while (auto op = value.getDefiningOp<kernel::BroadcastOp>())
    value = op.getOperand();
  return matchPattern(value, m_OneFloat());
}

/// x if `value` is 1 / (1 + exp(-x)) in f32, else null.
static Value sigmoidOperand(Value value) {
  auto quotient = value.getDefiningOp<arith::DivFOp>();
  if (!quotient || !isOne(quotient.getLhs()))
    return nullptr;
  auto sum = quotient.getRhs().getDefiningOp<arith::AddFOp>();
  if (!sum || !tensorOf(value).getElementType().isF32())
    return nullptr;
  for (auto [one, other] : {std::pair(sum.getLhs(), sum.getRhs()),
                            std::pair(sum.getRhs(), sum.getLhs())})
    if (auto power = other.getDefiningOp<math::ExpOp>(); power && isOne(one))
      if (auto negated = power.getOperand().getDefiningOp<arith::NegFOp>())
        return negated.getOperand();
  return nullptr;
}

Value RowEval::evaluate(Value value, Index index, const Column *column,
                        int64_t lanes) {
  auto at = [&](Value operand, const Column *where) {
    return where ? this->lanes(operand, index, *where, lanes)
                 : scalar(operand, index);
  };
  if (auto argument = dyn_cast<BlockArgument>(value))
    return load(argument, index, column, lanes);
  Operation *op = value.getDefiningOp();
  if (auto constantOp = dyn_cast<arith::ConstantOp>(op))
    return constant(constantOp, index, column, lanes);
  if (auto broadcastOp = dyn_cast<kernel::BroadcastOp>(op))
    return broadcast(broadcastOp, index, column, lanes);
  if (auto gatherOp = dyn_cast<kernel::GatherOp>(op))
    return gather(gatherOp, index, column, lanes);
  if (auto element = dyn_cast<kernel::ElementOp>(op)) {
    int64_t offset = 0;
    RankedTensorType type = tensorOf(element.getOperand());
    for (auto [i, size] : llvm::zip(element.getIndices(), type.getShape()))
      offset = offset * size + i;
    auto argument = cast<BlockArgument>(element.getOperand());
    return k.load(type.getElementType(), k.argument(argument.getArgNumber()),
                  k.i64(offset));
  }
  if (isa<kernel::IotaOp>(op)) {
    // Of one dimension: the columns.
    Type i32 = k.b.getI32Type();
    auto narrow = [&](Value number) -> Value {
      return arith::TruncIOp::create(k.b, k.loc, i32, number);
    };
    if (!column)
      return narrow(index.back());
    Value first = k.i64(column->offset);
    if (column->variable)
      first = k.addI(column->variable, first);
    Value start = narrow(first);
    if (!lanes)
      return start;
    return arith::AddIOp::create(k.b, k.loc, k.laneNumbers(lanes),
                                 k.splat(start, lanes));
  }
  if (auto slice = dyn_cast<kernel::SliceOp>(op)) {
    int64_t begin = slice.getBegin();
    if (column) {
      Column moved = column->shifted(begin);
      return at(slice.getOperand(), &moved);
    }
    Indices moved(index);
    moved.back() = k.addI(moved.back(), begin);
    return scalar(slice.getOperand(), moved);
  }
  if (auto concat = dyn_cast<kernel::ConcatOp>(op)) {
    int64_t size = tensorOf(concat.getLhs()).getShape().back();
    if (!column) {
      // Both sides, each within its bounds.
      Value at = index.back();
      Value isLeft = k.cmpI(arith::CmpIPredicate::slt, at, k.i64(size));
      Indices left(index), right(index);
      left.back() = k.minI(at, k.i64(size - 1));
      right.back() = k.maxI(k.addI(at, -size), k.i64(0));
      return k.select(isLeft, scalar(concat.getLhs(), left),
                      scalar(concat.getRhs(), right));
    }
    assert(column->high <= size || column->low >= size);
    if (column->high <= size)
      return at(concat.getLhs(), column);
    Column moved = column->shifted(-size);
    return at(concat.getRhs(), &moved);
  }
  if (Value x = sigmoidOperand(value))
    return k.sigmoid(at(x, column));
  SmallVector<Value> operands;
  for (Value operand : op->getOperands())
    operands.push_back(at(operand, column));
  return k.elementwise(op, operands);
}

Value RowEval::rowOffset(RankedTensorType type, Index index) {
  // The sizes behind the first dimension are static, but for batch, sequence.
  Value offset = k.i64(0);
  for (int64_t i = 0, e = type.getRank(); i != e; ++i) {
    Value size =
        type.isDynamicDim(i) ? k.sequence() : k.i64(type.getDimSize(i));
    if (i > 0)
      offset = k.mulI(offset, size);
    if (i < static_cast<int64_t>(index.size()))
      offset = k.addI(offset, index[i]);
  }
  return offset;
}

Value RowEval::rowPointer(BlockArgument argument, Index index, Value base) {
  if (!base)
    if (Value found = lookup(argument, index, {}, kPointer, 0))
      return found;
  RankedTensorType type = tensorOf(argument);
  Value pointer = k.pointerAt(base ? base : k.argument(argument.getArgNumber()),
                              type.getElementType(), rowOffset(type, index));
  return base ? pointer : remember(argument, index, {}, kPointer, 0, pointer);
}

Value RowEval::loadAt(Type element, int64_t lanes, Value row,
                      const Column *column) {
  Type type = lanes ? Type(k.vectorType(element, lanes)) : element;
  if (!column)
    return k.load(type, row);
  // The constant part last: it becomes the instruction's displacement.
  if (column->variable)
    row = k.pointerAt(row, element, column->variable);
  return k.load(type, row, k.i64(column->offset));
}

Value RowEval::load(BlockArgument argument, Index index, const Column *column,
                    int64_t lanes) {
  Value row =
      flat ? k.argument(argument.getArgNumber()) : rowPointer(argument, index);
  return loadAt(tensorOf(argument).getElementType(), lanes, row, column);
}

Value RowEval::constant(arith::ConstantOp op, Index index, const Column *column,
                        int64_t lanes) {
  RankedTensorType type = tensorOf(op);
  if (Value number = k.splatConstant(op))
    return lanes ? k.splat(number, lanes) : number;
  Value row = k.constantTable(cast<DenseElementsAttr>(op.getValue()));
  row = k.pointerAt(row, type.getElementType(), rowOffset(type, index));
  return loadAt(type.getElementType(), lanes, row, column);
}

bool RowEval::mapIndex(kernel::BroadcastOp op, Index index, bool hasColumn,
                       SmallVectorImpl<Value> &mapped) {
  RankedTensorType from = tensorOf(op.getOperand());
  int64_t last = tensorOf(op.getResult()).getRank() - 1;
  for (auto [i, dim] : llvm::enumerate(op.getDims())) {
    bool isColumn = hasColumn && dim == last;
    if (from.getDimSize(i) == 1 && !(isColumn && from == op.getType()))
      mapped.push_back(k.i64(0));
    else if (isColumn)
      return true;
    else
      mapped.push_back(index[dim]);
  }
  return false;
}

Value RowEval::broadcast(kernel::BroadcastOp op, Index index,
                         const Column *column, int64_t lanes) {
  Value operand = op.getOperand();
  if (flat && tensorOf(operand).getRank() > 0)
    return this->lanes(operand, index, *column, lanes);
  Indices mapped;
  if (mapIndex(op, index, column, mapped))
    return this->lanes(operand, mapped, *column, lanes);
  Value number = scalar(operand, mapped);
  return lanes ? k.splat(number, lanes) : number;
}

Value RowEval::gatherRow(kernel::GatherOp op, Index index) {
  if (Value row = lookup(op, index, {}, kPointer, 0))
    return row;
  Value id = scalar(op.getIds(), index);
  if (!id.getType().isInteger(64))
    id = k.toI64(id);
  RankedTensorType type = tensorOf(op.getTable());
  auto table = cast<BlockArgument>(op.getTable());
  int64_t width = type.getRank() == 2 ? type.getDimSize(1) : 1;
  Value row = k.pointerAt(k.argument(table.getArgNumber()),
                          type.getElementType(), k.mulI(id, width));
  // Rows outside of the table are read from a row of zeros. As unsigned,
  // negative numbers are beyond the table too.
  Value inRange =
      k.cmpI(arith::CmpIPredicate::ult, id, k.i64(type.getDimSize(0)));
  auto bytes = RankedTensorType::get({staticBytes(type) / type.getDimSize(0)},
                                     k.b.getI8Type());
  Value zeros = k.constantTable(
      DenseElementsAttr::get(bytes, k.b.getI8IntegerAttr(0).getValue()));
  return remember(op, index, {}, kPointer, 0, k.select(inRange, row, zeros));
}

Value RowEval::gather(kernel::GatherOp op, Index index, const Column *column,
                      int64_t lanes) {
  Type element = tensorOf(op).getElementType();
  if (tensorOf(op.getTable()).getRank() == 1)
    return k.load(element, gatherRow(op, index));
  Value row = gatherRow(op, column ? index : index.drop_back());
  return column ? loadAt(element, lanes, row, column)
                : k.load(element, row, index.back());
}

void RowEval::hoist(Value value, Index index) {
  if (lookup(value, index, {}, kHoisted, 0))
    return;
  remember(value, index, {}, kHoisted, 0, value);
  Operation *op = value.getDefiningOp();
  if (!op) {
    if (!flat)
      rowPointer(cast<BlockArgument>(value), index);
    return;
  }
  if (auto broadcastOp = dyn_cast<kernel::BroadcastOp>(op)) {
    Value operand = broadcastOp.getOperand();
    Indices mapped;
    if (flat ? tensorOf(operand).getRank() > 0
             : mapIndex(broadcastOp, index, /*hasColumn=*/true, mapped))
      hoist(operand, mapped);
    else
      scalar(operand, mapped);
  } else if (auto gatherOp = dyn_cast<kernel::GatherOp>(op)) {
    gatherRow(gatherOp, index);
  } else if (!isa<kernel::ReduceOp>(op)) {
    // A reduction that has columns is defined by the emitter.
    for (Value operand : op->getOperands())
      hoist(operand, index);
  }
}

//===----------------------------------------------------------------------===//
// Structure
//===----------------------------------------------------------------------===//

SmallVector<int64_t> RowEval::breaks(Value value) {
  SmallVector<int64_t> result;
  llvm::DenseSet<std::pair<Value, int64_t>> seen;
  collectBreaks(value, 0, seen, result);
  int64_t width = tensorOf(value).getShape().back();
  llvm::sort(result);
  result.erase(llvm::unique(result), result.end());
  llvm::erase_if(result, [&](int64_t at) { return at <= 0 || at >= width; });
  return result;
}

void RowEval::collectBreaks(Value value, int64_t shift,
                            llvm::DenseSet<std::pair<Value, int64_t>> &seen,
                            SmallVectorImpl<int64_t> &result) {
  Operation *op = value.getDefiningOp();
  if (!seen.insert({value, shift}).second || !op ||
      isa<kernel::ReduceOp, kernel::GatherOp, kernel::ElementOp>(op))
    return;
  if (auto concat = dyn_cast<kernel::ConcatOp>(op)) {
    int64_t size = tensorOf(concat.getLhs()).getShape().back();
    result.push_back(size + shift);
    collectBreaks(concat.getLhs(), shift, seen, result);
    collectBreaks(concat.getRhs(), shift + size, seen, result);
  } else if (auto slice = dyn_cast<kernel::SliceOp>(op)) {
    collectBreaks(slice.getOperand(), shift - int64_t(slice.getBegin()), seen,
                  result);
  } else if (auto broadcastOp = dyn_cast<kernel::BroadcastOp>(op)) {
    ArrayRef<int64_t> dims = broadcastOp.getDims();
    if (!dims.empty() && dims.back() == tensorOf(value).getRank() - 1 &&
        tensorOf(broadcastOp.getOperand()).getShape().back() > 1)
      collectBreaks(broadcastOp.getOperand(), shift, seen, result);
  } else {
    for (Value operand : op->getOperands())
      collectBreaks(operand, shift, seen, result);
  }
}

int64_t RowEval::depth(Value value) {
  Operation *op = value.getDefiningOp();
  if (!op)
    return 0;
  if (auto found = depths.find(value); found != depths.end())
    return found->second;
  int64_t deepest = 0;
  for (Value operand : op->getOperands())
    deepest = std::max(deepest, depth(operand));
  deepest += isa<kernel::ReduceOp>(op);
  depths[value] = deepest;
  return deepest;
}

SmallVector<kernel::ReduceOp> RowEval::peersOf(kernel::ReduceOp op) {
  SmallVector<kernel::ReduceOp> ops;
  int64_t level = depth(op.getResult());
  for (auto other : kernel.getBody().front().getOps<kernel::ReduceOp>())
    if (tensorOf(other.getOperand()).getShape() ==
            tensorOf(op.getOperand()).getShape() &&
        other.getDims() == op.getDims() && depth(other.getResult()) == level)
      ops.push_back(other);
  return ops;
}
