//===- RowEval.cpp - Evaluates the elementary ops of a kernel -------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Codegen/Cpu/RowEval.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/Matchers.h"

#include <limits>

using namespace mlir;
using namespace qwen;
using namespace qwen::cpu;
using kernel::ReductionKind;

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
  Value row = globalTable(cast<DenseElementsAttr>(op.getValue()));
  row = k.pointerAt(row, type.getElementType(), rowOffset(type, index));
  return loadAt(type.getElementType(), lanes, row, column);
}

Value RowEval::globalTable(DenseElementsAttr elements) {
  auto module = k.function()->getParentOfType<ModuleOp>();
  int64_t count = elements.getNumElements();
  Type element = elements.getElementType();
  // In LLVM an array; a tensor of one dimension has the same elements.
  elements = elements.reshape(RankedTensorType::get({count}, element));
  LLVM::GlobalOp global;
  for (unsigned i = 0;; ++i) {
    std::string name = k.symbol() + ".table" + std::to_string(i);
    global = module.lookupSymbol<LLVM::GlobalOp>(name);
    if (global && *global.getValue() == elements)
      break;
    if (global)
      continue;
    OpBuilder::InsertionGuard guard(k.b);
    k.b.setInsertionPointToStart(module.getBody());
    global = LLVM::GlobalOp::create(
        k.b, k.loc, LLVM::LLVMArrayType::get(element, count),
        /*isConstant=*/true, LLVM::Linkage::Internal, name, elements,
        /*alignment=*/64);
    break;
  }
  return LLVM::AddressOfOp::create(k.b, k.loc, global);
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
  Value row =
      k.pointerAt(k.argument(table.getArgNumber()), type.getElementType(),
                  k.mulI(id, type.getDimSize(1)));
  // Rows outside of the table are read from a row of zeros. As unsigned,
  // negative numbers are beyond the table too.
  Value inRange =
      k.cmpI(arith::CmpIPredicate::ult, id, k.i64(type.getDimSize(0)));
  auto bytes = RankedTensorType::get({staticBytes(type) / type.getDimSize(0)},
                                     k.b.getI8Type());
  Value zeros = globalTable(
      DenseElementsAttr::get(bytes, k.b.getI8IntegerAttr(0).getValue()));
  return remember(op, index, {}, kPointer, 0, k.select(inRange, row, zeros));
}

Value RowEval::gather(kernel::GatherOp op, Index index, const Column *column,
                      int64_t lanes) {
  Value row = gatherRow(op, column ? index : index.drop_back());
  Type element = tensorOf(op).getElementType();
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
// Columns
//===----------------------------------------------------------------------===//

void RowEval::forColumns(int64_t width, int64_t unroll,
                         function_ref<void(Column, int64_t)> body) {
  int64_t step =
      kLanes * std::min(unroll, std::max<int64_t>(1, width / kLanes));
  int64_t main = width / step * step;
  if (main > step)
    scope([&] {
      k.forLoop(k.i64(0), k.i64(main), step, [&](Value variable) {
        for (int64_t u = 0; u < step; u += kLanes)
          body({variable, u, 0, width}, kLanes);
      });
    });
  else
    main = 0;
  for (int64_t at = main, size = kLanes; at < width; at += size) {
    while (size > width - at)
      size /= 2;
    body({nullptr, at, 0, width}, size);
  }
}

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

//===----------------------------------------------------------------------===//
// Reductions over columns
//===----------------------------------------------------------------------===//

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

/// Whether `value` is `from` or an elementwise function of it.
static bool isElementwiseOf(Value value, Value from,
                            llvm::SmallPtrSetImpl<Value> &seen) {
  if (value == from)
    return true;
  Operation *op = value.getDefiningOp();
  if (!op || !isElementwise(op) || !seen.insert(value).second)
    return false;
  return llvm::any_of(op->getOperands(), [&](Value operand) {
    return isElementwiseOf(operand, from, seen);
  });
}

void RowEval::reduce(kernel::ReduceOp op, Index index) {
  // Reductions of one depth do not depend on each other: one loop for those
  // over the same rows.
  SmallVector<kernel::ReduceOp> ops;
  int64_t level = depth(op.getResult());
  for (auto other : kernel.getBody().front().getOps<kernel::ReduceOp>())
    if (tensorOf(other.getOperand()).getShape() ==
            tensorOf(op.getOperand()).getShape() &&
        other.getDims() == op.getDims() && depth(other.getResult()) == level)
      ops.push_back(other);
  SmallVector<int64_t> edges{0};
  for (auto other : ops) {
    hoist(other.getOperand(), index);
    edges.append(breaks(other.getOperand()));
  }
  edges.push_back(tensorOf(op.getOperand()).getShape().back());
  llvm::sort(edges);
  edges.erase(llvm::unique(edges), edges.end());

  storing.clear();
  for (Early entry : early)
    for (auto other : ops) {
      llvm::SmallPtrSet<Value, 16> seen;
      if (tensorOf(entry.value).getShape() !=
              tensorOf(op.getOperand()).getShape() ||
          !isElementwiseOf(other.getOperand(), entry.value, seen) ||
          isStored(entry.value, index))
        continue;
      RankedTensorType type = tensorOf(entry.value);
      entry.row = k.pointerAt(k.result(entry.result), type.getElementType(),
                              rowOffset(type, index));
      storing.push_back(entry);
      break;
    }

  SmallVector<Value> totals;
  for (size_t i = 0; i + 1 < edges.size(); ++i) {
    SmallVector<Value> parts =
        reduceColumns(ops, index, edges[i], edges[i + 1]);
    for (auto [j, part] : llvm::enumerate(parts)) {
      if (i == 0)
        totals.push_back(part);
      else
        totals[j] = ops[j].getKind() == ReductionKind::Max
                        ? k.maximum(totals[j], part)
                        : k.add(totals[j], part);
    }
  }
  for (auto [other, total] : llvm::zip(ops, totals))
    define(other.getResult(), index, total);
  for (const Early &entry : storing)
    remember(entry.value, index, {}, kStored, 0, entry.row);
  storing.clear();
}

SmallVector<Value> RowEval::reduceColumns(ArrayRef<kernel::ReduceOp> ops,
                                          Index index, int64_t low,
                                          int64_t high) {
  int64_t width = high - low, count = ops.size();
  auto combine = [&](int64_t i, Value x, Value y) {
    bool isMax = kernel::ReduceOp(ops[i]).getKind() == ReductionKind::Max;
    return isMax ? k.maximum(x, y) : k.add(x, y);
  };
  auto part = [&](int64_t i, Value variable, int64_t offset, int64_t lanes) {
    Column column{variable, low + offset, low, high};
    return this->lanes(kernel::ReduceOp(ops[i]).getOperand(), index, column,
                       lanes);
  };
  // sum + part, with one rounding where the part is a product.
  auto accumulate = [&](int64_t i, Value sum, Value variable, int64_t offset) {
    auto product =
        kernel::ReduceOp(ops[i]).getOperand().getDefiningOp<arith::MulFOp>();
    if (!product || kernel::ReduceOp(ops[i]).getKind() == ReductionKind::Max)
      return combine(i, sum, part(i, variable, offset, kLanes));
    Column column{variable, low + offset, low, high};
    Value lhs = this->lanes(product.getLhs(), index, column, kLanes);
    Value rhs = this->lanes(product.getRhs(), index, column, kLanes);
    return k.fma(lhs, rhs, sum);
  };
  auto storeNow = [&](Value variable, int64_t offset, int64_t lanes) {
    Column column{variable, low + offset, low, high};
    for (const Early &entry : storing) {
      Value value = this->lanes(entry.value, index, column, lanes);
      Value place = entry.row;
      if (variable)
        place = k.pointerAt(place, k.elementType(value), variable);
      k.store(value, place, k.i64(column.offset));
    }
  };
  // Independent accumulators hide the latency of additions.
  int64_t unroll =
      std::min(count == 1 ? int64_t(4) : int64_t(2), width / kLanes);
  int64_t step = kLanes * unroll;
  int64_t at = 0;
  SmallVector<Value> sums; // `unroll` for each reduction
  if (unroll > 0) {
    for (int64_t i = 0; i < count; ++i) {
      bool isMax = kernel::ReduceOp(ops[i]).getKind() == ReductionKind::Max;
      double start = isMax ? -std::numeric_limits<double>::infinity() : 0.0;
      sums.append(unroll, k.constant(k.vectorType(k.f32(), kLanes), start));
    }
    at = width / step * step;
    scope([&] {
      sums = k.forLoop(k.i64(0), k.i64(at), step, sums,
                       [&](Value variable, ValueRange in) {
                         SmallVector<Value> next;
                         for (int64_t i = 0; i < count; ++i)
                           for (int64_t u = 0; u < unroll; ++u)
                             next.push_back(accumulate(i, in[i * unroll + u],
                                                       variable, u * kLanes));
                         for (int64_t u = 0; u < unroll; ++u)
                           storeNow(variable, u * kLanes, kLanes);
                         return next;
                       });
    });
    for (int64_t u = 0; at + kLanes <= width; at += kLanes, ++u) {
      for (int64_t i = 0; i < count; ++i)
        sums[i * unroll + u] = accumulate(i, sums[i * unroll + u], {}, at);
      storeNow({}, at, kLanes);
    }
  }
  SmallVector<Value> totals;
  for (int64_t i = 0; i < count; ++i) {
    auto fold = [&](Value vector) {
      bool isMax = kernel::ReduceOp(ops[i]).getKind() == ReductionKind::Max;
      return isMax ? k.maxLanes(vector) : k.sumLanes(vector);
    };
    Value total;
    if (unroll > 0) {
      // Pairs, so that the error grows with the logarithm.
      MutableArrayRef<Value> mine(sums.data() + i * unroll, unroll);
      for (int64_t gap = 1; gap < unroll; gap *= 2)
        for (int64_t u = 0; u + gap < unroll; u += 2 * gap)
          mine[u] = combine(i, mine[u], mine[u + gap]);
      total = fold(mine[0]);
    }
    for (int64_t size = kLanes / 2, from = at; from < width; from += size) {
      while (size > width - from)
        size /= 2;
      Value rest = fold(part(i, {}, from, size));
      total = total ? combine(i, total, rest) : rest;
      if (i == 0)
        storeNow({}, from, size);
    }
    totals.push_back(total);
  }
  return totals;
}

//===----------------------------------------------------------------------===//
// Questions about a body
//===----------------------------------------------------------------------===//

kernel::ReturnOp cpu::returnOf(kernel::FuncOp kernel) {
  return cast<kernel::ReturnOp>(kernel.getBody().front().getTerminator());
}

LogicalResult cpu::checkBody(kernel::FuncOp kernel) {
  auto isArgument = [](Value value) { return isa<BlockArgument>(value); };
  for (Operation &op : kernel.getBody().front()) {
    bool known =
        isElementwise(&op) ||
        isa<arith::ConstantOp, kernel::BroadcastOp, kernel::ReduceOp,
            kernel::GatherOp, kernel::SliceOp, kernel::ConcatOp,
            kernel::ElementOp, kernel::ScatterAddOp, kernel::ReturnOp>(op);
    if (!known)
      return op.emitError("a row-wise kernel of the CPU cannot hold this op: ")
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
        return op.emitError("kernels of the CPU do not compute in f64");
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

bool cpu::isFlat(ValueRange roots) {
  llvm::SmallPtrSet<Value, 32> seen;
  for (Value root : roots)
    if (tensorOf(root).getRank() == 0 ||
        !isFlatAt(root, tensorOf(roots.front()).getShape(), seen))
      return false;
  return !roots.empty();
}

int64_t cpu::unrollFor(kernel::FuncOp kernel) {
  int64_t work = 1;
  for (Operation &op : kernel.getBody().front())
    if (op.getDialect() && op.getDialect()->getNamespace() == "math")
      work += 20;
    else if (isElementwise(&op))
      ++work;
  // A power of two: blocks of elements are whole numbers of steps.
  return work <= 20 ? 4 : work <= 40 ? 2 : 1;
}

int64_t cpu::staticElements(RankedTensorType type) {
  int64_t count = 1;
  for (int64_t size : type.getShape())
    count *= ShapedType::isDynamic(size) ? 1 : size;
  return count;
}

int64_t cpu::staticBytes(RankedTensorType type) {
  int64_t bits = type.getElementType().getIntOrFloatBitWidth();
  return staticElements(type) * std::max<int64_t>(1, bits / 8);
}
