//===- CrossEntropy.cpp - The head's loss without its logits --------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Codegen/Cpu/CrossEntropy.h"
#include "compiler/Codegen/BlockOperands.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

#include <limits>

using namespace mlir;
using namespace qwen;
using namespace qwen::cpu;

static constexpr double kInfinity = std::numeric_limits<double>::infinity();
static constexpr int32_t kNoColumn = std::numeric_limits<int32_t>::max();

int64_t HeadLoss::slotColumns() const {
  return llvm::alignTo(llvm::divideCeil(vocabulary, kSlots), 64);
}

int64_t HeadLoss::workspaceFloats(int64_t rows) {
  return rows * (3 * kSlots + 2) + 3 * blocks(rows);
}

HeadWorkspace::HeadWorkspace(SimdBuilder &b) {
  Value rows = b.rows(), next = b.workspace();
  auto take = [&](Value floats) {
    Value taken = next;
    next = b.at(next, floats);
    return taken;
  };
  Value slots = b.mul(rows, HeadLoss::kSlots);
  Value blocks = b.ceilDiv(rows, HeadLoss::kBlock);
  maxima = take(slots);
  sums = take(slots);
  columns = take(slots);
  chosen = take(rows);
  lse = take(rows);
  losses = take(blocks);
  counts = take(blocks);
  corrects = take(blocks);
  end = next;
}

Value cpu::loadTarget(SimdBuilder &b, const HeadLoss &head, Value targets,
                      Value row) {
  Type i32 = b.b.getI32Type();
  Value target = b.toI64(b.load(i32, b.at(targets, row, i32)));
  // Also what is no token at all is left out: memory must not depend on it.
  Value isToken =
      b.both(b.ge(target, b.cst(0)), b.lt(target, b.cst(head.vocabulary)));
  return b.select(isToken, target, b.cst(-1));
}

void cpu::emitLogits(SimdBuilder &b, ModuleOp module, const HeadLoss &head,
                     Value x, Value weight, Value row, Value rows, Value column,
                     Value columns, Value tile, Value gemmScratch, Value packed,
                     Value reuse) {
  Value hidden = b.cst(head.hidden);
  Matrix lhs = {b.at(x, b.mul(row, head.hidden), head.x), hidden};
  Matrix rhs = {b.at(weight, b.mul(column, head.hidden), head.weight), hidden};
  GemmKind kind = {GemmForm::NT, head.x, head.weight};
  if (!gemmKeepsPacked(kind, b.target, head.kColumns, head.hidden))
    reuse = {};
  emitGemm(b, module,
           {kind,
            lhs,
            rhs,
            {tile, b.cst(head.kColumns)},
            rows,
            columns,
            hidden,
            b.cst(0),
            gemmScratch,
            packed,
            reuse});
}

//===----------------------------------------------------------------------===//
// The statistics of one slot
//===----------------------------------------------------------------------===//

namespace {
/// One row's running results in one slot, at places in the workspace.
struct RowPlaces {
  Value maximum, sum, column;
};
} // namespace

/// Chains of dependent operations side by side: one alone would wait for each
/// result.
static constexpr int64_t kChains = 4;

/// Reduces `columns` columns 16 at a time into kChains sets of accumulators
/// that begin as `start`: body(column, mask or null, set) returns the set's
/// next values. Vector i goes to set i % kChains; those of the last, incomplete
/// round go to the first set.
static SmallVector<SimdBuilder::Values> reduceColumns(
    SimdBuilder &b, Value columns, ArrayRef<Value> start,
    llvm::function_ref<SimdBuilder::Values(Value, Value, ValueRange)> body) {
  size_t width = start.size();
  SimdBuilder::Values all;
  for (int64_t chain = 0; chain < kChains; ++chain)
    all.append(start.begin(), start.end());
  Value whole = b.roundDown(columns, kChains * kLanes);
  all = b.loop(b.cst(0), whole, kChains * kLanes, all,
               [&](Value j, ValueRange carried) {
                 SimdBuilder::Values next;
                 for (int64_t chain = 0; chain < kChains; ++chain)
                   next.append(body(b.add(j, chain * kLanes), {},
                                    carried.slice(chain * width, width)));
                 return next;
               });
  SimdBuilder::Values first =
      b.loop(whole, columns, kLanes, ValueRange(all).take_front(width),
             [&](Value j, ValueRange carried) {
               return body(j, b.mask(b.sub(columns, j)), carried);
             });
  llvm::copy(first, all.begin());
  SmallVector<SimdBuilder::Values> sets;
  for (int64_t chain = 0; chain < kChains; ++chain)
    sets.emplace_back(ArrayRef(all).slice(chain * width, width));
  return sets;
}

/// Takes `columns` logits of type `type` at `line`, columns [column, ...) of
/// the vocabulary, into a row's running results. Where `exact`, memory behind
/// them is not touched.
static void emitRow(SimdBuilder &b, const HeadLoss &head, bool findsBest,
                    Value line, Type type, bool exact, Value column,
                    Value columns, const RowPlaces &places) {
  Type f32 = b.f32(), i32 = b.b.getI32Type();
  Value lowest = b.splat(-kInfinity), zero = b.splat(0.0);
  auto logits = [&](Value j, Value mask) {
    return b.loadV(type, b.at(line, j, type), exact ? mask : Value());
  };
  auto where = [&](Value mask, Value lanes, Value other) {
    return mask ? b.select(mask, lanes, other) : lanes;
  };
  Value none = b.constant(b.vec(i32), kNoColumn);
  Value numbers = b.laneNumbers(kLanes);
  SimdBuilder::Values start = {lowest};
  if (findsBest)
    start.push_back(none);
  auto best = reduceColumns(
      b, columns, start, [&](Value j, Value mask, ValueRange carried) {
        Value z = logits(j, mask);
        if (head.cap != 0) {
          z = b.mulF(b.tanh(b.mulF(z, b.splat(1 / head.cap))),
                     b.splat(head.cap));
          b.storeV(z, f32, b.at(line, j));
        }
        z = where(mask, z, lowest);
        if (!findsBest)
          return SimdBuilder::Values{b.maxF(carried[0], z)};
        Value above = b.cmpF(arith::CmpFPredicate::OGT, z, carried[0]);
        Value here = b.addI(numbers, b.splat(b.toI32(b.add(column, j))));
        return SimdBuilder::Values{b.select(above, z, carried[0]),
                                   b.select(above, here, carried[1])};
      });
  Value lanes = best[0][0];
  for (int64_t chain = 1; chain < kChains; ++chain)
    lanes = b.maxF(lanes, best[chain][0]);
  Value before = b.load(f32, places.maximum);
  Value highest = b.maxLanes(lanes);
  Value maximum = b.maxF(before, highest);
  if (findsBest) {
    // The first column of those that hold the largest.
    Value first = b.i32(kNoColumn), all = b.splat(highest);
    for (const SimdBuilder::Values &set : best) {
      Value isBest = b.cmpF(arith::CmpFPredicate::OEQ, set[0], all);
      Value of =
          vector::ReductionOp::create(b.b, b.loc, vector::CombiningKind::MINSI,
                                      b.select(isBest, set[1], none));
      first = b.minI(first, of);
    }
    Value better = b.cmpF(arith::CmpFPredicate::OGT, highest, before);
    b.store(b.select(better, first, b.load(i32, places.column)), places.column);
  }
  Value maxima = b.splat(maximum);
  auto sums = reduceColumns(
      b, columns, zero, [&](Value j, Value mask, ValueRange carried) {
        Value e = b.exp(b.subF(logits(j, mask), maxima));
        return SimdBuilder::Values{b.addF(carried[0], where(mask, e, zero))};
      });
  Value sum =
      b.addF(b.addF(sums[0][0], sums[1][0]), b.addF(sums[2][0], sums[3][0]));
  Value factor = b.exp(b.subF(before, maximum));
  b.store(b.addF(b.mulF(b.load(f32, places.sum), factor), b.sumLanes(sum)),
          places.sum);
  b.store(maximum, places.maximum);
}

/// Units: blocks of rows x slots.
static Task emitSlots(kernel::FuncOp fn, int64_t index, unsigned x,
                      std::optional<unsigned> weight, unsigned targets,
                      const HeadLoss &head, bool findsBest,
                      const CpuTarget &target, ModuleOp module) {
  SimdBuilder b(fn, index, target, module);
  Type f32 = b.f32(), i32 = b.b.getI32Type();
  HeadWorkspace workspace(b);
  Value tile = b.scratch(), gemm = b.advance(tile, head.kTileBytes);
  b.loop(b.begin(), b.end(), 1, [&](Value unit) {
    Value slot = b.rem(unit, head.slots());
    Value firstRow = b.mul(b.div(unit, head.slots()), head.kUnitRows);
    Value lastRow = b.min(b.add(firstRow, head.kUnitRows), b.rows());
    Value first = b.mul(slot, head.slotColumns());
    Value last = b.min(b.add(first, head.slotColumns()), head.vocabulary);
    auto placesOf = [&](Value row) {
      Value place = b.add(b.mul(row, head.kSlots), slot);
      return RowPlaces{b.at(workspace.maxima, place),
                       b.at(workspace.sums, place),
                       b.at(workspace.columns, place, i32)};
    };
    b.loop(firstRow, lastRow, 1, [&](Value row) {
      RowPlaces places = placesOf(row);
      b.store(b.KernelBuilder::f32(-kInfinity), places.maximum);
      b.store(b.KernelBuilder::f32(0), places.sum);
      b.store(b.i32(kNoColumn), places.column);
    });
    b.loop(first, last, head.kColumns, [&](Value column) {
      Value columns = b.min(b.sub(last, column), head.kColumns);
      b.loop(firstRow, lastRow, head.kRows, [&](Value row0) {
        Value rows = b.min(b.sub(lastRow, row0), head.kRows);
        Type type = weight ? Type(f32) : head.x;
        if (weight) {
          Value reuse = b.select(b.eq(row0, firstRow), b.cst(0), b.cst(1));
          emitLogits(b, module, head, b.argument(x), b.argument(*weight), row0,
                     rows, column, columns, tile, gemm, {}, reuse);
        }
        b.loop(rows, 1, [&](Value i) {
          Value row = b.add(row0, i);
          Value line =
              weight ? b.at(tile, b.mul(i, head.kColumns))
                     : b.at(b.argument(x),
                            b.add(b.mul(row, head.vocabulary), column), type);
          emitRow(b, head, findsBest, line, type, /*exact=*/!weight, column,
                  columns, placesOf(row));
          Value chosen =
              b.sub(loadTarget(b, head, b.argument(targets), row), column);
          b.when(b.both(b.ge(chosen, b.cst(0)), b.lt(chosen, columns)), [&] {
            b.store(b.loadF(type, b.at(line, chosen, type)),
                    b.at(workspace.chosen, row));
          });
        });
      });
    });
  });
  AffineExpr rows = getAffineSymbolExpr(2, fn.getContext());
  return b.task(
      AffineMap::get(0, 3, rows.ceilDiv(head.kUnitRows) * head.slots()), 1);
}

//===----------------------------------------------------------------------===//
// Combining
//===----------------------------------------------------------------------===//

/// Units: blocks of rows. Every row's slots become its log-sum-exp, and the
/// block's rows their sums.
static Task emitCombine(kernel::FuncOp fn, int64_t index, unsigned targets,
                        const HeadLoss &head, const CpuTarget &target,
                        ModuleOp module) {
  SimdBuilder b(fn, index, target, module);
  Type f32 = b.f32(), i32 = b.b.getI32Type();
  HeadWorkspace workspace(b);
  Value present = b.mask(b.cst(head.slots()));
  Value lowest = b.splat(-kInfinity), zeros = b.splat(0.0);
  b.loop(b.begin(), b.end(), 1, [&](Value unit) {
    Value first = b.mul(unit, head.kBlock);
    Value last = b.min(b.add(first, head.kBlock), b.rows());
    SmallVector<Value> zero = {b.KernelBuilder::f32(0), b.i32(0), b.i32(0)};
    auto sums =
        b.loop(first, last, 1, zero, [&](Value row, ValueRange carried) {
          Value place = b.mul(row, head.kSlots);
          Value maxima = b.loadV(f32, b.at(workspace.maxima, place), present);
          maxima = b.select(present, maxima, lowest);
          Value maximum = b.maxLanes(maxima);
          Value factors = b.exp(b.subF(maxima, b.splat(maximum)));
          Value parts = b.loadV(f32, b.at(workspace.sums, place), present);
          parts = b.select(present, b.mulF(parts, factors), zeros);
          Value lse = b.addF(maximum, b.log(b.sumLanes(parts)));
          b.store(lse, b.at(workspace.lse, row));

          Value wanted = loadTarget(b, head, b.argument(targets), row);
          Value counts = b.ge(wanted, b.cst(0));
          Value none = b.constant(b.vec(i32), kNoColumn);
          Value columns =
              b.maskedLoad(b.vec(i32), workspace.columns, place, present);
          Value isBest = b.both(present, b.cmpF(arith::CmpFPredicate::OEQ,
                                                maxima, b.splat(maximum)));
          Value best = vector::ReductionOp::create(
              b.b, b.loc, vector::CombiningKind::MINSI,
              b.select(isBest, columns, none));
          Value hit = b.both(counts, b.eq(b.toI64(best), wanted));
          // The chosen logit is there only for targets that count.
          Value loss = b.subF(lse, b.load(f32, b.at(workspace.chosen, row)));
          if (head.zWeight != 0)
            loss = b.addF(loss, b.mulF(b.KernelBuilder::f32(head.zWeight),
                                       b.mulF(lse, lse)));
          loss = b.select(counts, loss, zero[0]);
          auto number = [&](Value bit) -> Value {
            return b.select(bit, b.i32(1), b.i32(0));
          };
          return SimdBuilder::Values{b.addF(carried[0], loss),
                                     b.addI(carried[1], number(counts)),
                                     b.addI(carried[2], number(hit))};
        });
    b.store(sums[0], b.at(workspace.losses, unit));
    b.store(sums[1], b.at(workspace.counts, unit, i32));
    b.store(sums[2], b.at(workspace.corrects, unit, i32));
  });
  return b.task(rowUnits(fn.getContext(), 1, head.kBlock), 1);
}

/// One unit: the sums over all blocks, in their order.
static Task emitTotals(kernel::FuncOp fn, int64_t index,
                       const HeadResults &results, const CpuTarget &target,
                       ModuleOp module) {
  SimdBuilder b(fn, index, target, module);
  Type f32 = b.f32(), i32 = b.b.getI32Type(), i64 = b.b.getI64Type();
  HeadWorkspace workspace(b);
  b.loop(b.begin(), b.end(), 1, [&](Value) {
    SmallVector<Value> zero = {b.KernelBuilder::f32(0), b.cst(0), b.cst(0)};
    auto sums = b.loop(
        b.cst(0), b.ceilDiv(b.rows(), HeadLoss::kBlock), 1, zero,
        [&](Value block, ValueRange carried) {
          auto count = [&](Value base) {
            return b.toI64(b.load(i32, b.at(base, block, i32)));
          };
          return SimdBuilder::Values{
              b.addF(carried[0], b.load(f32, b.at(workspace.losses, block))),
              b.add(carried[1], count(workspace.counts)),
              b.add(carried[2], count(workspace.corrects))};
        });
    auto put = [&](Value sum, Value result) {
      Value address = resultPointer(b, result);
      if (!address)
        return;
      Type type = elementOf(result);
      if (type.isInteger(32))
        sum = b.toI32(sum);
      else if (isa<FloatType>(type) && sum.getType() == i64)
        sum = arith::SIToFPOp::create(b.b, b.loc, type, sum);
      b.store(sum, address);
    };
    put(sums[0], results.loss);
    put(sums[1], results.count);
    put(sums[2], results.correct);
  });
  return b.task(constantUnits(fn.getContext(), 1), 1);
}

void cpu::emitLogitsGrad(SimdBuilder &b, const HeadLoss &head, Value line,
                         Type from, Value to, Type element, bool exact,
                         Value column, Value columns, Value target, Value lse,
                         Value seed) {
  // d/dz of the loss for one logit or 16; `isTarget`: 1 is taken off.
  auto gradient = [&](Value z, bool isTarget) {
    bool scalar = !isa<VectorType>(z.getType());
    auto lanes = [&](Value value) { return scalar ? value : b.splat(value); };
    auto number = [&](double value) {
      return scalar ? b.KernelBuilder::f32(value) : b.splat(value);
    };
    Value slope;
    if (head.cap != 0) {
      Value t = b.tanh(b.mulF(z, number(1 / head.cap)));
      slope = b.subF(number(1), b.mulF(t, t));
      z = b.mulF(t, number(head.cap));
    }
    Value p = b.exp(b.subF(z, lanes(lse)));
    // What the z-loss multiplies the softmax by.
    if (head.zWeight != 0)
      p = b.mulF(p, lanes(b.fma(lse, b.KernelBuilder::f32(2 * head.zWeight),
                                b.KernelBuilder::f32(1))));
    if (isTarget)
      p = b.subF(p, number(1));
    Value dz = b.mulF(p, lanes(seed));
    return slope ? b.mulF(dz, slope) : dz;
  };
  // A row whose target does not count has no gradient at all, whatever its
  // logits are.
  b.when(
      b.ge(target, b.cst(0)),
      [&] {
        // The target's logit, before the line is overwritten in place.
        Value place = b.sub(target, column);
        Value isHere = b.both(b.ge(place, b.cst(0)), b.lt(place, columns));
        place = b.select(isHere, place, b.cst(0));
        Value z = b.loadF(from, b.at(line, place, from));
        b.lanes(columns, [&](Value j, Value mask) {
          Value some = exact ? mask : Value();
          Value lanes = b.loadV(from, b.at(line, j, from), some);
          b.storeV(gradient(lanes, false), element, b.at(to, j, element), some);
        });
        b.when(isHere, [&] {
          b.store(b.narrow(gradient(z, true), element),
                  b.at(to, place, element));
        });
      },
      [&] {
        b.lanes(columns, [&](Value j, Value mask) {
          b.storeV(b.splat(0.0), element, b.at(to, j, element),
                   exact ? mask : Value());
        });
      });
}

void cpu::emitStatistics(Operation *op, Value x, Value weight, Value targets,
                         const HeadLoss &head, bool findsBest,
                         const HeadResults &results, const CpuTarget &target,
                         ModuleOp module, KernelCode &code) {
  auto fn = op->getParentOfType<kernel::FuncOp>();
  auto number = [](Value value) {
    return cast<BlockArgument>(value).getArgNumber();
  };
  int64_t index = code.tasks.size();
  std::optional<unsigned> weightNumber;
  if (weight)
    weightNumber = number(weight);
  code.tasks.push_back(emitSlots(fn, index, number(x), weightNumber,
                                 number(targets), head, findsBest, target,
                                 module));
  code.tasks.push_back(
      emitCombine(fn, index + 1, number(targets), head, target, module));
  code.tasks.push_back(emitTotals(fn, index + 2, results, target, module));
}
