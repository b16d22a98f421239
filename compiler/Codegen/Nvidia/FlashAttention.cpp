//===- FlashAttention.cpp - Tiles of attention on GPUs ------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Dao, "FlashAttention-2", arXiv 2307.08691: scores of a tile of keys at a
// time, the softmax's maximum and denominator carried along. A warp has whole
// rows.
//
//===----------------------------------------------------------------------===//

#include "compiler/Codegen/Nvidia/FlashAttention.h"

#include <limits>

#include "compiler/Codegen/BlockOperands.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;
using namespace qwen;
using namespace qwen::nvidia;
using arith::CmpIPredicate;

static constexpr double kLowest = -std::numeric_limits<double>::infinity();

ExactOperand::ExactOperand(KernelBuilder &k, Type element, int64_t rows,
                           int64_t columns)
    : k(k), isSplit(element.isBF16()), high(k, element, rows, columns) {
  if (isSplit)
    low = SharedMatrix(k, element, rows, columns);
}

void ExactOperand::store(const TileShape &shape, ArrayRef<Value> sums) {
  high.store(k, shape, sums);
  if (!isSplit)
    return;
  Sums rest;
  for (Value sum : sums)
    rest.push_back(k.sub(sum, k.widen(k.narrow(sum, high.element))));
  low.store(k, shape, rest);
}

Sums ExactOperand::multiply(const TileShape &shape, Stored form,
                            const SharedMatrix &b, Stored formB, int64_t depth,
                            ArrayRef<Value> sums) {
  Sums result = nvidia::multiply(k, shape, high, form, b, formB, depth, sums);
  if (isSplit)
    result = nvidia::multiply(k, shape, low, form, b, formB, depth, result);
  return result;
}

Type nvidia::attentionElement(ArrayRef<Value> tensors) {
  Type element = elementOf(tensors.front());
  for (Value tensor : tensors)
    element = StreamedProduct::commonElement(element, elementOf(tensor));
  return element;
}

void FlashForward::emit(KernelBuilder &b) const {
  int64_t depth = llvm::alignTo(headDim, 16);
  TileShape shape = scores(), outShape = {kQueries, depth, 4, 1};
  SharedMatrix queries(b, element, kQueries, depth);
  SharedMatrix keys(b, element, kKeys, depth, 2);
  SharedMatrix values(b, element, kKeys, depth, 2);
  ExactOperand weights(b, element, kQueries, kKeys);
  TilePlaces places(b, shape), outPlaces(b, outShape);
  auto quad = [&](Value value, function_ref<Value(Value, Value)> combine) {
    return b.combineGroup(value, 4, combine);
  };
  auto larger = [&](Value x, Value y) { return b.maximum(x, y); };
  auto sum = [&](Value x, Value y) { return b.add(x, y); };

  Value zero = b.i64(0);
  Value first = b.addI(position, firstQuery);
  Value end = b.minI(b.addI(first, kQueries), k.rows);
  Value lastKey = b.subI(k.rows, b.i64(1)),
        lastQuery = b.subI(q.rows, b.i64(1));
  // The first key that a query sees; null: all.
  auto lowest = [&](Value query) {
    Value low;
    if (window)
      low = b.subI(b.minI(b.addI(position, query), lastKey), b.i64(window - 1));
    if (starts) {
      Value start =
          b.toI64(b.load(b.b.getI32Type(), starts, b.minI(query, lastQuery)));
      low = low ? b.maxI(low, start) : start;
    }
    return low;
  };
  // Later queries see no earlier keys.
  Value begin = zero;
  if (Value low = lowest(firstQuery))
    begin = b.mulI(b.divI(b.maxI(low, zero), b.i64(kKeys)), kKeys);
  Value lows[2];
  for (int64_t half = 0; half < 2; ++half)
    lows[half] = lowest(b.addI(firstQuery, places.row(0, half)));
  auto copyKeys = [&](Value key) {
    b.ifThen(b.cmpI(CmpIPredicate::slt, key, end), [&] {
      Value stage = b.remI(b.divI(key, b.i64(kKeys)), b.i64(2));
      keys.copy(b, stage).copyFrom(b, k, key, zero);
      values.copy(b, stage).copyFrom(b, v, key, zero);
    });
    commitCopies(b);
  };
  queries.copyFrom(b, q, firstQuery, zero);
  copyKeys(begin);

  // Carried: maxima and denominators of the thread's two rows, then the sums.
  Sums start = {b.f32(kLowest), b.f32(kLowest), b.f32(0), b.f32(0)};
  start.append(zeroSums(b, outShape));
  Sums done = b.forLoop(
      begin, end, kKeys, start,
      [&](Value key, ValueRange carried) -> SmallVector<Value> {
        waitForCopies(b, 0);
        b.barrier();
        copyKeys(b.addI(key, kKeys));
        Value stage = b.remI(b.divI(key, b.i64(kKeys)), b.i64(2));
        Sums s =
            multiply(b, shape, queries, Stored::ByRows, keys.copy(b, stage),
                     Stored::ByRows, depth, zeroSums(b, shape));
        Value maxima[2], sums[2], factors[2];
        for (int64_t half = 0; half < 2; ++half) {
          Value last = b.addI(first, places.row(0, half));
          Value largest = b.f32(kLowest);
          for (int64_t i = 0; i < shape.sums(); ++i) {
            TileShape::Place place = shape.place(i);
            if (place.half != half)
              continue;
            Value at = b.addI(key, places.column(place));
            Value visible = arith::AndIOp::create(
                b.b, b.loc, b.cmpI(CmpIPredicate::sle, at, last),
                b.cmpI(CmpIPredicate::slt, at, k.rows));
            if (lows[half])
              visible = arith::AndIOp::create(
                  b.b, b.loc, visible,
                  b.cmpI(CmpIPredicate::sge, at, lows[half]));
            s[i] = b.select(visible, b.mul(s[i], b.f32(scale)), b.f32(kLowest));
            largest = b.maximum(largest, s[i]);
          }
          maxima[half] = b.maximum(carried[half], quad(largest, larger));
          // A tile may hold no key that the row sees.
          Value isEmpty =
              b.cmpF(arith::CmpFPredicate::OEQ, maxima[half], b.f32(kLowest));
          Value base = b.select(isEmpty, b.f32(0), maxima[half]);
          factors[half] = b.exp(b.sub(carried[half], base));
          Value total = b.f32(0);
          for (int64_t i = 0; i < shape.sums(); ++i) {
            if (shape.place(i).half != half)
              continue;
            s[i] = b.exp(b.sub(s[i], base));
            total = b.add(total, s[i]);
          }
          sums[half] =
              b.fma(carried[2 + half], factors[half], quad(total, sum));
        }
        weights.store(shape, s);
        // A warp reads its own rows only.
        NVVM::SyncWarpOp::create(b.b, b.loc, b.i32(-1));
        Sums next = {maxima[0], maxima[1], sums[0], sums[1]};
        Sums scaled;
        for (int64_t i = 0; i < outShape.sums(); ++i)
          scaled.push_back(
              b.mul(carried[4 + i], factors[outShape.place(i).half]));
        next.append(weights.multiply(outShape, Stored::ByRows,
                                     values.copy(b, stage), Stored::Transposed,
                                     kKeys, scaled));
        return next;
      });

  for (int64_t half = 0; half < 2; ++half) {
    Value query = b.addI(firstQuery, places.row(0, half));
    b.ifThen(b.cmpI(CmpIPredicate::slt, query, q.rows), [&] {
      for (int64_t i = 0; i < outShape.sums(); ++i) {
        TileShape::Place place = outShape.place(i);
        if (place.half != half)
          continue;
        Value column = outPlaces.column(place);
        Value value = b.div(done[4 + i], done[2 + half]);
        auto store = [&] {
          b.store(b.narrow(value, outElement), out,
                  b.addI(b.mulI(query, outStride), column));
        };
        if (8 * place.column + 8 <= headDim)
          store();
        else
          b.ifThen(b.cmpI(CmpIPredicate::slt, column, b.i64(headDim)), store);
      }
      if (!lse)
        return;
      Value isFirst =
          b.cmpI(CmpIPredicate::eq, b.remI(b.lane(), b.i64(4)), b.i64(0));
      b.ifThen(isFirst, [&] {
        b.store(b.add(done[half], b.log(done[2 + half])), lse,
                b.mulI(query, lseStride));
      });
    });
  }
}
