//===- HeadLoss.cpp - The head's loss on GPUs ---------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Codegen/Nvidia/HeadLoss.h"

#include <limits>

#include "compiler/Codegen/BlockOperands.h"

using namespace mlir;
using namespace qwen;
using namespace qwen::nvidia;
using arith::CmpIPredicate;

static constexpr double kLowest = -std::numeric_limits<double>::infinity();

/// Statistics of all rows: [rows, kMostSlots] of maximum, denominator and the
/// maximum's column (i32); [rows] of the target's logit and the log-sum-exp;
/// [blocks] of losses, counts and corrects.
struct HeadLoss::Workspace {
  explicit Workspace(KernelBuilder &k) {
    Value next = k.workspace();
    Value rows = k.rows();
    Value blocks = k.divI(k.addI(rows, kBlockRows - 1), k.i64(kBlockRows));
    auto take = [&](Value floats) {
      Value here = next;
      next = k.pointerAt(next, k.f32(), floats);
      return here;
    };
    Value perSlot = k.mulI(rows, kMostSlots);
    maxima = take(perSlot);
    sums = take(perSlot);
    columns = take(perSlot);
    chosen = take(rows);
    lse = take(rows);
    losses = take(blocks);
    counts = take(blocks);
    corrects = take(blocks);
    // The next 16 bytes.
    Value floats = k.addI(k.mulI(rows, 3 * kMostSlots + 2), k.mulI(blocks, 3));
    Value units = k.divI(k.addI(floats, 3), k.i64(4));
    end = k.pointerAt(k.workspace(), k.f32(), k.mulI(units, 4));
  }
  Value maxima, sums, columns, chosen, lse, losses, counts, corrects, end;
};

int64_t HeadLoss::workspaceBytes(int64_t rows) {
  int64_t blocks = llvm::divideCeil(rows, kBlockRows);
  return llvm::alignTo(4 * (rows * (3 * kMostSlots + 2) + 3 * blocks), 16);
}

Value HeadLoss::behindStatistics(KernelBuilder &k) const {
  return Workspace(k).end;
}
Value HeadLoss::lse(KernelBuilder &k) const { return Workspace(k).lse; }

int64_t HeadLoss::hidden() const { return dimOf(x, -1); }
int64_t HeadLoss::vocabulary() const {
  return weight ? dimOf(weight, 0) : dimOf(x, -1);
}
int64_t HeadLoss::slotColumns() const {
  if (!weight)
    return vocabulary();
  return llvm::alignTo(llvm::divideCeil(vocabulary(), kMostSlots), kColumns);
}
int64_t HeadLoss::slots() const {
  return llvm::divideCeil(vocabulary(), slotColumns());
}
int64_t HeadLoss::logitLanes() const {
  int64_t lanes = kAccessBytes / elementBytes(elementOf(x));
  while (vocabulary() % lanes != 0)
    lanes /= 2;
  return lanes;
}
Type HeadLoss::element() const {
  return StreamedProduct::commonElement(elementOf(x), elementOf(weight));
}

GlobalMatrix HeadLoss::rowsOfX(KernelBuilder &k) const {
  return {operandPointer(k, x), elementOf(x), hidden(), k.rows(),
          k.i64(hidden()),      hidden(),     true};
}
GlobalMatrix HeadLoss::rowsOfWeight(KernelBuilder &k) const {
  return {operandPointer(k, weight),
          elementOf(weight),
          hidden(),
          k.i64(vocabulary()),
          k.i64(hidden()),
          hidden(),
          true};
}

Value HeadLoss::logit(KernelBuilder &k, Value sum, Value *slope) const {
  if (slope)
    *slope = {};
  if (cap == 0)
    return sum;
  Value t = k.tanh(k.mul(sum, k.f32(1 / cap)));
  if (slope)
    *slope = k.sub(k.f32(1), k.mul(t, t));
  return k.mul(t, k.f32(cap));
}

Value HeadLoss::target(KernelBuilder &k, Value row) const {
  Value id = k.toI64(k.load(k.b.getI32Type(), operandPointer(k, targets), row));
  // As unsigned numbers: negative ones are too large as well.
  Value counts = k.cmpI(CmpIPredicate::ult, id, k.i64(vocabulary()));
  return k.select(counts, id, k.i64(-1));
}

/// Blocks: rows, slots.
void HeadLoss::emitSlots(KernelBuilder &k) const {
  TileShape shape = tile();
  StreamedProduct product(k, shape, element(), Stored::ByRows, Stored::ByRows,
                          /*depth=*/32, /*stages=*/3);
  Workspace workspace(k);
  TilePlaces places(k, shape);
  GlobalMatrix x = rowsOfX(k), weight = rowsOfWeight(k);
  Value row0 = k.mulI(k.block(0), kRows), slot = k.block(1);
  Value first = k.mulI(slot, slotColumns());
  Value last = k.minI(k.addI(first, slotColumns()), k.i64(vocabulary()));
  Value end = k.subI(k.rows(), k.i64(1));
  Value rows[2], wanted[2];
  for (int64_t half = 0; half < 2; ++half) {
    rows[half] = k.addI(row0, places.row(0, half));
    wanted[half] = target(k, k.minI(rows[half], end));
  }
  Type i32 = k.b.getI32Type();
  // For both rows of the thread: maximum, denominator, the maximum's column.
  SmallVector<Value> start;
  for (int64_t half = 0; half < 2; ++half)
    start.append({k.f32(kLowest), k.f32(0), k.i32(0)});
  SmallVector<Value> found = k.forLoop(
      first, last, kColumns, start,
      [&](Value column, ValueRange carried) -> SmallVector<Value> {
        Sums sums = product.run(x, weight, row0, column, k.i64(hidden()),
                                zeroSums(k, shape));
        SmallVector<Value> next;
        for (int64_t half = 0; half < 2; ++half) {
          Value best = carried[3 * half], bestColumn = carried[3 * half + 2];
          Value exists = k.cmpI(CmpIPredicate::sle, rows[half], end);
          Value largest = best;
          for (int64_t i = 0; i < shape.sums(); ++i) {
            TileShape::Place place = shape.place(i);
            if (place.half != half)
              continue;
            Value at = k.addI(column, places.column(place));
            Value z = logit(k, sums[i]);
            Value isTarget = arith::AndIOp::create(
                k.b, k.loc, exists,
                k.cmpI(CmpIPredicate::eq, at, wanted[half]));
            k.ifThen(isTarget,
                     [&] { k.store(z, workspace.chosen, rows[half]); });
            sums[i] = k.select(k.cmpI(CmpIPredicate::slt, at, last), z,
                               k.f32(kLowest));
            Value isBetter =
                k.cmpF(arith::CmpFPredicate::OGT, sums[i], largest);
            bestColumn =
                k.select(isBetter, arith::TruncIOp::create(k.b, k.loc, i32, at),
                         bestColumn);
            largest = k.maximum(largest, sums[i]);
          }
          // A thread may have seen no column yet.
          Value isEmpty =
              k.cmpF(arith::CmpFPredicate::OEQ, largest, k.f32(kLowest));
          Value base = k.select(isEmpty, k.f32(0), largest);
          Value total = k.mul(carried[3 * half + 1], k.exp(k.sub(best, base)));
          for (int64_t i = 0; i < shape.sums(); ++i)
            if (shape.place(i).half == half)
              total = k.add(total, k.exp(k.sub(sums[i], base)));
          next.append({largest, total, bestColumn});
        }
        return next;
      });
  for (int64_t half = 0; half < 2; ++half) {
    Value maximum = found[3 * half], total = found[3 * half + 1];
    Value column = found[3 * half + 2];
    // The four threads of a row; of equal maxima the first column.
    for (int64_t mask : {1, 2}) {
      Value otherMaximum = k.shuffleXor(maximum, mask);
      Value otherTotal = k.shuffleXor(total, mask);
      Value otherColumn = k.shuffleXor(column, mask);
      Value isLess = k.cmpI(CmpIPredicate::slt, otherColumn, column);
      Value isEqual = k.cmpF(arith::CmpFPredicate::OEQ, otherMaximum, maximum);
      Value isLarger = k.cmpF(arith::CmpFPredicate::OGT, otherMaximum, maximum);
      Value takes = arith::OrIOp::create(
          k.b, k.loc, isLarger,
          arith::AndIOp::create(k.b, k.loc, isEqual, isLess));
      Value both = k.maximum(maximum, otherMaximum);
      Value isEmpty = k.cmpF(arith::CmpFPredicate::OEQ, both, k.f32(kLowest));
      Value base = k.select(isEmpty, k.f32(0), both);
      // Both of a pair add in the same order.
      Value isOdd = k.cmpI(
          CmpIPredicate::ne,
          arith::AndIOp::create(k.b, k.loc, k.lane(), k.i64(mask)), k.i64(0));
      Value mine = k.mul(total, k.exp(k.sub(maximum, base)));
      Value other = k.mul(otherTotal, k.exp(k.sub(otherMaximum, base)));
      total = k.add(k.select(isOdd, other, mine), k.select(isOdd, mine, other));
      column = k.select(takes, otherColumn, column);
      maximum = both;
    }
    Value isFirst =
        k.cmpI(CmpIPredicate::eq, k.remI(k.lane(), k.i64(4)), k.i64(0));
    Value exists = k.cmpI(CmpIPredicate::sle, rows[half], end);
    k.ifThen(arith::AndIOp::create(k.b, k.loc, isFirst, exists), [&] {
      Value at = k.addI(k.mulI(rows[half], kMostSlots), slot);
      k.store(maximum, workspace.maxima, at);
      k.store(total, workspace.sums, at);
      k.store(column, workspace.columns, at);
    });
  }
}

/// Blocks: rows.
void HeadLoss::emitLogitRows(KernelBuilder &k) const {
  Workspace workspace(k);
  Type type = elementOf(x), i32 = k.b.getI32Type();
  int64_t lanes = logitLanes();
  Value row = k.block();
  Value line =
      k.pointerAt(operandPointer(k, x), type, k.mulI(row, vocabulary()));
  Value wanted = target(k, row);
  Value isFirst = k.cmpI(CmpIPredicate::eq, k.thread(), k.i64(0));
  // The thread's maximum, denominator, and the maximum's column.
  SmallVector<Value> found = k.forLoop(
      k.mulI(k.thread(), lanes), k.i64(vocabulary()), kLogitThreads * lanes,
      ValueRange{k.f32(kLowest), k.f32(0), k.i32(0)},
      [&](Value column, ValueRange carried) -> SmallVector<Value> {
        Value all = lanes > 1 ? k.loadF32(type, lanes, line, column)
                              : k.widen(k.load(type, line, column));
        Value first = arith::TruncIOp::create(k.b, k.loc, i32, column);
        Value largest = carried[0], best = carried[2];
        SmallVector<Value> logits;
        for (int64_t i = 0; i < lanes; ++i) {
          Value z = lanes > 1 ? k.extract(all, i) : all;
          Value isBetter = k.cmpF(arith::CmpFPredicate::OGT, z, largest);
          Value at = arith::AddIOp::create(k.b, k.loc, first, k.i32(i));
          best = k.select(isBetter, at, best);
          largest = k.maximum(largest, z);
          logits.push_back(z);
        }
        Value isEmpty =
            k.cmpF(arith::CmpFPredicate::OEQ, largest, k.f32(kLowest));
        Value base = k.select(isEmpty, k.f32(0), largest);
        Value total = k.mul(carried[1], k.exp(k.sub(carried[0], base)));
        for (Value z : logits)
          total = k.add(total, k.exp(k.sub(z, base)));
        return {largest, total, best};
      });
  Value maximum = k.combineBlock(
      found[0], [&](unsigned, Value x, Value y) { return k.maximum(x, y); })[0];
  Value isEmpty = k.cmpF(arith::CmpFPredicate::OEQ, maximum, k.f32(kLowest));
  Value base = k.select(isEmpty, k.f32(0), maximum);
  // Of equal maxima the first column.
  Value isBest = k.cmpF(arith::CmpFPredicate::OEQ, found[0], maximum);
  Value column =
      k.select(isBest, found[2], k.i32(std::numeric_limits<int32_t>::max()));
  Value total = k.mul(found[1], k.exp(k.sub(found[0], base)));
  SmallVector<Value> sums = k.combineBlock(
      ValueRange{total, column}, [&](unsigned i, Value x, Value y) -> Value {
        return i == 0 ? k.add(x, y)
                      : Value(arith::MinSIOp::create(k.b, k.loc, x, y));
      });
  k.ifThen(isFirst, [&] {
    Value at = k.mulI(row, kMostSlots);
    k.store(maximum, workspace.maxima, at);
    k.store(sums[0], workspace.sums, at);
    k.store(sums[1], workspace.columns, at);
    k.ifThen(k.cmpI(CmpIPredicate::sge, wanted, k.i64(0)), [&] {
      k.store(k.widen(k.load(type, line, wanted)), workspace.chosen, row);
    });
  });
}

/// Blocks: kBlockRows rows, one a thread.
void HeadLoss::emitRows(KernelBuilder &k) const {
  Workspace workspace(k);
  Type i32 = k.b.getI32Type();
  Value row = k.addI(k.mulI(k.block(), kBlockRows), k.thread());
  Value exists = k.cmpI(CmpIPredicate::slt, row, k.rows());
  SmallVector<Value> found = k.ifElse(
      exists,
      [&]() -> SmallVector<Value> {
        Value at = k.mulI(row, kMostSlots);
        SmallVector<Value> maxima;
        Value maximum = k.f32(kLowest), best = k.i32(0);
        for (int64_t s = 0; s < slots(); ++s) {
          maxima.push_back(k.load(k.f32(), workspace.maxima, k.addI(at, s)));
          Value isBetter =
              k.cmpF(arith::CmpFPredicate::OGT, maxima[s], maximum);
          best = k.select(isBetter,
                          k.load(i32, workspace.columns, k.addI(at, s)), best);
          maximum = k.maximum(maximum, maxima[s]);
        }
        Value total = k.f32(0);
        for (int64_t s = 0; s < slots(); ++s)
          total = k.fma(k.load(k.f32(), workspace.sums, k.addI(at, s)),
                        k.exp(k.sub(maxima[s], maximum)), total);
        Value lse = k.add(maximum, k.log(total));
        k.store(lse, workspace.lse, row);
        Value wanted = target(k, row);
        Value counts = k.cmpI(CmpIPredicate::sge, wanted, k.i64(0));
        Value loss = k.ifElse(
            counts,
            [&]() -> SmallVector<Value> {
              Value loss = k.sub(lse, k.load(k.f32(), workspace.chosen, row));
              if (zWeight != 0)
                loss = k.fma(k.mul(lse, k.f32(zWeight)), lse, loss);
              return {loss};
            },
            [&]() -> SmallVector<Value> { return {k.f32(0)}; })[0];
        Value isRight = k.cmpI(CmpIPredicate::eq, k.toI64(best), wanted);
        Value one = k.i32(1), zero = k.i32(0);
        return {loss, k.select(counts, one, zero),
                k.select(isRight, one, zero)};
      },
      [&]() -> SmallVector<Value> { return {k.f32(0), k.i32(0), k.i32(0)}; });
  SmallVector<Value> sums =
      k.combineBlock(found, [&](unsigned i, Value x, Value y) -> Value {
        return i == 0 ? k.add(x, y)
                      : Value(arith::AddIOp::create(k.b, k.loc, x, y));
      });
  k.ifThen(k.cmpI(CmpIPredicate::eq, k.thread(), k.i64(0)), [&] {
    k.store(sums[0], workspace.losses, k.block());
    k.store(sums[1], workspace.counts, k.block());
    k.store(sums[2], workspace.corrects, k.block());
  });
}

void HeadLoss::emit(Value loss, Value count, Value correct,
                    const NvidiaTarget &target, gpu::GPUModuleOp module,
                    KernelCode &code,
                    function_ref<void(KernelBuilder &)> alsoLast) const {
  auto fn = op->getParentOfType<kernel::FuncOp>();
  MLIRContext *context = fn.getContext();
  if (weight) {
    KernelBuilder k(fn, code.size(), target, module, tile().threads());
    emitSlots(k);
    code.push_back(
        k.launch(rowUnits(context, 1, kRows), blocks(context, slots())));
  } else {
    KernelBuilder k(fn, code.size(), target, module, kLogitThreads);
    emitLogitRows(k);
    code.push_back(k.launch(rowUnits(context)));
  }
  {
    KernelBuilder k(fn, code.size(), target, module, kBlockRows);
    emitRows(k);
    code.push_back(k.launch(rowUnits(context, 1, kBlockRows)));
  }
  if (!loss && !count && !correct && !alsoLast)
    return;
  KernelBuilder k(fn, code.size(), target, module, kBlockRows);
  Workspace workspace(k);
  Type i32 = k.b.getI32Type();
  Value numBlocks = k.divI(k.addI(k.rows(), kBlockRows - 1), k.i64(kBlockRows));
  SmallVector<Value> sums = k.forLoop(
      k.thread(), numBlocks, kBlockRows,
      ValueRange{k.f32(0), k.i32(0), k.i32(0)},
      [&](Value at, ValueRange carried) -> SmallVector<Value> {
        Value blockLoss = k.load(k.f32(), workspace.losses, at);
        Value blockCount = k.load(i32, workspace.counts, at);
        Value blockCorrect = k.load(i32, workspace.corrects, at);
        return {k.add(carried[0], blockLoss),
                arith::AddIOp::create(k.b, k.loc, carried[1], blockCount),
                arith::AddIOp::create(k.b, k.loc, carried[2], blockCorrect)};
      });
  sums = k.combineBlock(sums, [&](unsigned i, Value x, Value y) -> Value {
    return i == 0 ? k.add(x, y)
                  : Value(arith::AddIOp::create(k.b, k.loc, x, y));
  });
  k.ifThen(k.cmpI(CmpIPredicate::eq, k.thread(), k.i64(0)), [&] {
    Value results[] = {loss, count, correct};
    for (auto [result, sum] : llvm::zip(results, sums))
      if (Value pointer = result ? resultPointer(k, result) : Value())
        k.store(sum, pointer);
    if (alsoLast)
      alsoLast(k);
  });
  code.push_back(k.launch(constantUnits(context, 1)));
}
