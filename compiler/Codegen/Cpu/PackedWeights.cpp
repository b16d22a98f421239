//===- PackedWeights.cpp - Products with weights of small integers --------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Codegen/Cpu/PackedWeights.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "runtime/abi/qwen_int4.h"

using namespace mlir;
using namespace qwen;
using namespace qwen::cpu;

// Columns of one group of int4, in as many bytes as half of them.
static constexpr int64_t kGroup = 32, kGroupBytes = kGroup / 2;
static_assert(kGroupBytes == kLanes, "a group is the two halves of one load");
// A vector of bytes of int4 as 32-bit lanes: its groups, each in some lanes of
// eight half bytes.
static constexpr int64_t kHalves = 8, kGroupLanes = kGroup / kHalves;
static constexpr int64_t kVectorGroups = kLanes / kGroupLanes;
static constexpr int64_t kVectorColumns = kVectorGroups * kGroup;
// Rows of the weight at a time.
static constexpr int64_t kColumns = 4;

// A row of `columns` numbers in bytes of int4, and its steps.
static Value rowBytes(SimdBuilder &b, Value columns) {
  return b.div(columns, 2);
}
static Value rowSteps(SimdBuilder &b, Value columns) {
  return b.div(columns, kGroup);
}

/// The numbers in half byte `i` (0: the lowest) of each 32-bit lane as f32:
/// where there is an instruction for it, by a look-up in a register.
static Value halfBytes(SimdBuilder &b, Value lanes, int64_t i) {
  auto splat = [&](int64_t bits) { return b.constant(lanes.getType(), bits); };
  if (b.target.level == CpuTarget::V3) {
    Value high = arith::ShLIOp::create(b.b, b.loc, lanes, splat(28 - 4 * i));
    Value half = b.widen(arith::ShRSIOp::create(b.b, b.loc, high, splat(28)));
    Value curve = b.splat(static_cast<double>(QRT_INT4_CURVE));
    return b.mulF(half, b.fma(half, half, curve));
  }
  // The bits above are ignored.
  if (i > 0)
    lanes = arith::ShRUIOp::create(b.b, b.loc, lanes, splat(4 * i));
  SmallVector<float> numbers;
  for (int half = 0; half < 16; ++half)
    numbers.push_back(qrt_int4_number(half < 8 ? half : half - 16));
  VectorType type = b.vec(b.f32());
  Value table = arith::ConstantOp::create(
      b.b, b.loc, DenseElementsAttr::get(type, ArrayRef<float>(numbers)));
  return LLVM::CallIntrinsicOp::create(
             b.b, b.loc, type,
             b.b.getStringAttr("llvm.x86.avx512.permvar.sf.512"),
             {table, lanes})
      .getResult(0);
}

namespace {
/// The body of a product of few rows with int4. A vector of 64 bytes is read as
/// 32-bit lanes; half byte i of them meets a vector of x with the same columns,
/// which are put in that order once. A group is in four lanes of all these
/// vectors, so its step comes after their sum.
struct Int4Gemv {
  SimdBuilder &b;
  Type x;
  Matrix lhs, out;
  Value weights, steps, k, scratch;

  void emit(Value m, Value n) {
    order(m);
    Value whole = b.roundDown(n, kColumns);
    b.loop(whole, kColumns, [&](Value j) { columns(m, j, kColumns); });
    b.loop(whole, n, 1, [&](Value j) { columns(m, j, 1); });
  }

  /// Floats of scratch: a row of x in order, then the steps of some rows of the
  /// weight and what a vector reads behind them.
  static int64_t scratchFloats(int64_t rows, int64_t k) {
    return rows * llvm::alignTo(k, kVectorColumns) + kColumns * (k / kGroup) +
           kLanes;
  }

private:
  Value orderedColumns() { return b.roundUp(k, kVectorColumns); }
  Value orderedRow(Value i) {
    return b.at(scratch, b.mul(i, orderedColumns()));
  }

  /// Writes all rows of x in order, 0 behind the last column: of the 128
  /// columns of a vector of weights, lane l of vector i has
  /// 32 (l / 4) + 16 (i % 2) + 4 (l % 4) + i / 2.
  void order(Value m) {
    b.loop(m, 1, [&](Value i) {
      Value from = b.at(lhs.base, b.mul(i, lhs.stride), x);
      Value to = orderedRow(i);
      b.loop(k, kVectorColumns, [&](Value first) {
        for (int64_t half = 0; half < 2; ++half) {
          Value groups[kVectorGroups];
          for (int64_t g = 0; g < kVectorGroups; ++g) {
            Value column = b.add(first, g * kGroup + half * kLanes);
            groups[g] =
                b.loadV(x, b.at(from, column, x), b.mask(b.sub(k, column)));
          }
          for (int64_t byte = 0; byte < 4; ++byte) {
            // Every fourth lane of each group.
            SmallVector<int64_t> fourth;
            for (int64_t l = 0; l < kLanes; ++l)
              fourth.push_back(4 * (l % 8) + byte);
            Value low = b.shuffle(groups[0], groups[1], fourth);
            Value high = b.shuffle(groups[2], groups[3], fourth);
            SmallVector<int64_t> both;
            for (int64_t l = 0; l < kLanes; ++l)
              both.push_back(l < 8 ? l : l + 8);
            b.storeV(b.shuffle(low, high, both), b.f32(),
                     b.at(to, b.add(first, (2 * byte + half) * kLanes)));
          }
        }
      });
    });
  }

  /// Columns [j, j + count) of all rows. Their steps come first, as f32 in the
  /// scratch.
  void columns(Value m, Value j, int64_t count) {
    Type i8 = b.b.getI8Type();
    Value groups = rowSteps(b, k), from = b.at(steps, b.mul(j, groups), i8);
    Value to = orderedRow(m);
    b.lanes(b.mul(groups, count), [&](Value g, Value mask) {
      b.storeV(b.loadV(i8, b.at(from, g, i8), mask), b.f32(), b.at(to, g),
               mask);
    });
    b.loop(m, 1, [&](Value i) {
      SmallVector<Value> sums = dot(orderedRow(i), to, j, count);
      Value line = b.at(out.base, b.add(b.mul(i, out.stride), j));
      for (int64_t c = 0; c < count; ++c)
        b.store(b.sumLanes(sums[c]), b.at(line, c, b.f32()));
    });
  }

  SmallVector<Value> dot(Value row, Value steps, Value j, int64_t count) {
    Type i8 = b.b.getI8Type();
    Value groups = rowSteps(b, k), bytes = rowBytes(b, k);
    Value ahead = prefetchDistance(b, b.mul(bytes, count));
    SmallVector<Value> rows;
    for (int64_t c = 0; c < count; ++c)
      rows.push_back(b.at(weights, b.mul(b.add(j, c), bytes), i8));
    // Groups [g, g + 4), or `present` (null: 4) of them.
    auto add = [&](Value g, ValueRange carried, Value present) {
      Value xs = b.at(row, b.mul(g, kGroup));
      Value lanesThere, stepsThere;
      if (present) {
        lanesThere = b.mask(b.mul(present, kGroupLanes));
        stepsThere = b.mask(present);
      }
      SmallVector<Value> next;
      for (int64_t c = 0; c < count; ++c) {
        Value address = b.at(rows[c], b.mul(g, kGroupBytes), i8);
        LLVM::Prefetch::create(b.b, b.loc, b.at(address, ahead, i8),
                               /*rw=*/0, /*hint=*/2, /*cache=*/1);
        Value lanes =
            arith::BitcastOp::create(b.b, b.loc, b.vec(b.b.getI32Type()),
                                     b.loadV(b.f32(), address, lanesThere));
        Value sums[2]; // two chains
        for (int64_t i = 0; i < kHalves; ++i) {
          Value numbers = halfBytes(b, lanes, i);
          Value x = b.loadV(b.f32(), b.at(xs, i * kLanes, b.f32()));
          Value &sum = sums[i % 2];
          sum = sum ? b.fma(x, numbers, sum) : b.mulF(x, numbers);
        }
        Value loaded = b.loadV(b.f32(), b.at(steps, b.add(g, b.mul(groups, c))),
                               stepsThere);
        SmallVector<int64_t> spread;
        for (int64_t l = 0; l < kLanes; ++l)
          spread.push_back(l / kGroupLanes);
        next.push_back(b.fma(b.addF(sums[0], sums[1]),
                             b.shuffle(loaded, loaded, spread), carried[c]));
      }
      return next;
    };
    SmallVector<Value> zeros(count, b.splat(0.0));
    Value whole = b.roundDown(groups, kVectorGroups);
    auto sums = b.loop(
        b.cst(0), whole, kVectorGroups, zeros,
        [&](Value g, ValueRange carried) { return add(g, carried, {}); });
    return b.loop(whole, groups, kVectorGroups, sums,
                  [&](Value g, ValueRange carried) {
                    return add(g, carried, b.sub(groups, g));
                  });
  }
};
} // namespace

int64_t cpu::packedGemvScratchBytes(WeightForm form, int64_t k) {
  return form == WeightForm::Int4
             ? sizeof(float) * Int4Gemv::scratchFloats(codegen::kFewRows, k)
             : 0;
}

/// The first byte and the first step (int4) of the rows.
static std::pair<Value, Value>
firstRow(SimdBuilder &b, const PackedWeights &weights, Value columns) {
  Type i8 = b.b.getI8Type();
  bool isInt4 = weights.form == WeightForm::Int4;
  Value bytes = isInt4 ? rowBytes(b, columns) : columns;
  Value base = b.at(weights.base, b.mul(weights.row, bytes), i8);
  if (!isInt4)
    return {base, base};
  Value steps = b.mul(weights.row, rowSteps(b, columns));
  return {base, b.at(weights.steps, steps, i8)};
}

void cpu::emitPackedGemv(SimdBuilder &b, ModuleOp module, const GemmCall &call,
                         const PackedWeights &weights) {
  auto [base, steps] = firstRow(b, weights, call.k);
  if (weights.form == WeightForm::Int8) {
    // A matrix like any other but for its elements.
    GemmCall bytes = call;
    bytes.kind.rhs = b.b.getI8Type();
    bytes.rhs = {base, call.k};
    return emitGemv(b, module, bytes);
  }
  std::string name;
  llvm::raw_string_ostream(name) << "gemv_" << call.kind.lhs << "_int4";
  SmallVector<Value> operands = {call.lhs.base, call.lhs.stride, base,   steps,
                                 call.out.base, call.out.stride, call.m, call.n,
                                 call.k,        call.scratch};
  auto [fn, isNew] = getOrCreateHelper(module, b.target, name,
                                       ValueRange(operands).getTypes());
  if (isNew) {
    SimdBuilder inner(fn, b.target);
    auto argument = [fn = fn](unsigned i) -> Value {
      return func::FuncOp(fn).getArgument(i);
    };
    Int4Gemv gemv = {inner,
                     call.kind.lhs,
                     {argument(0), argument(1)},
                     {argument(4), argument(5)},
                     argument(2),
                     argument(3),
                     argument(8),
                     argument(9)};
    gemv.emit(argument(6), argument(7));
  }
  func::CallOp::create(b.b, b.loc, fn, operands);
}

void cpu::emitUnpack(SimdBuilder &b, ModuleOp module,
                     const PackedWeights &weights, Type type, Value rows,
                     Value columns, Value to) {
  std::string name;
  llvm::raw_string_ostream(name)
      << (weights.form == WeightForm::Int4 ? "unpack_int4_" : "unpack_int8_")
      << type;
  auto [base, steps] = firstRow(b, weights, columns);
  SmallVector<Value> operands = {base, steps, rows, columns, to};
  auto [fn, isNew] = getOrCreateHelper(module, b.target, name,
                                       ValueRange(operands).getTypes());
  if (isNew) {
    SimdBuilder inner(fn, b.target);
    auto argument = [fn = fn](unsigned i) -> Value {
      return func::FuncOp(fn).getArgument(i);
    };
    Type i8 = inner.b.getI8Type();
    Value k = argument(3);
    inner.loop(argument(2), 1, [&](Value j) {
      Value line = inner.at(argument(4), inner.mul(j, k), type);
      if (weights.form == WeightForm::Int8) {
        Value from = inner.at(argument(0), inner.mul(j, k), i8);
        inner.lanes(k, [&](Value r, Value mask) {
          inner.storeV(inner.loadV(i8, inner.at(from, r, i8), mask), type,
                       inner.at(line, r, type), mask);
        });
        return;
      }
      Value groups = rowSteps(inner, k);
      Value from = inner.at(argument(0), inner.mul(j, rowBytes(inner, k)), i8);
      Value stepRow = inner.at(argument(1), inner.mul(j, groups), i8);
      inner.loop(groups, 1, [&](Value g) {
        Value bytes = arith::ExtUIOp::create(
            inner.b, inner.loc, inner.vec(inner.b.getI32Type()),
            inner.load(inner.vectorType(i8, kLanes),
                       inner.at(from, inner.mul(g, kGroupBytes), i8)));
        Value step = inner.splat(inner.loadF(i8, inner.at(stepRow, g, i8)));
        Value target = inner.at(line, inner.mul(g, kGroup), type);
        for (int64_t half = 0; half < 2; ++half)
          inner.storeV(inner.mulF(halfBytes(inner, bytes, half), step), type,
                       inner.at(target, half * kLanes, type));
      });
    });
  }
  func::CallOp::create(b.b, b.loc, fn, operands);
}
