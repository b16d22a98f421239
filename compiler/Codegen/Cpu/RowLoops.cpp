//===- RowLoops.cpp - Loops over the columns of a row ---------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Codegen/Cpu/RowLoops.h"

#include <limits>

using namespace mlir;
using namespace qwen;
using namespace qwen::cpu;
using kernel::ReductionKind;

//===----------------------------------------------------------------------===//
// Columns
//===----------------------------------------------------------------------===//

void RowLoops::forColumns(int64_t width, int64_t unroll,
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

//===----------------------------------------------------------------------===//
// Reductions over columns
//===----------------------------------------------------------------------===//

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

void RowLoops::reduce(kernel::ReduceOp op, Index index) {
  SmallVector<kernel::ReduceOp> ops = peersOf(op);
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

SmallVector<Value> RowLoops::reduceColumns(ArrayRef<kernel::ReduceOp> ops,
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
