//===- PackedWeights.cpp - Products with weights of small integers --------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Codegen/Cpu/PackedWeights.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

using namespace mlir;
using namespace qwen;
using namespace qwen::cpu;

// Columns of one group of int4, in as many bytes as half of them; two vectors.
static constexpr int64_t kGroup = 32, kGroupBytes = kGroup / 2;
static_assert(kGroupBytes == kLanes, "a group is the two halves of one load");
// Rows of the weight at a time.
static constexpr int64_t kColumns = 4;

namespace {
/// The loads of one form.
class WeightReader {
public:
  WeightReader(SimdBuilder &b, WeightForm form)
      : b(b), form(form), i8(b.b.getI8Type()), i32(b.b.getI32Type()) {}

  /// Bytes and steps of one row of `columns` numbers.
  Value rowBytes(Value columns) {
    return form == WeightForm::Int4 ? b.div(columns, 2) : columns;
  }
  Value rowSteps(Value columns) { return b.div(columns, kGroup); }

  /// 16 numbers of int8 as f32.
  Value bytes(Value address, Value mask = {}) {
    VectorType type = b.vectorType(i8, kLanes);
    Value lanes =
        mask ? b.maskedLoad(type, address, {}, mask) : b.load(type, address);
    return arith::SIToFPOp::create(b.b, b.loc, b.vec(b.f32()), lanes);
  }

  /// The two halves of a group of int4 as f32, without its step.
  std::pair<Value, Value> group(Value address) {
    Value packed = b.load(b.vectorType(i8, kLanes), address);
    auto splat = [&](int64_t bits) { return b.constant(b.vec(i32), bits); };
    if (b.target.level != CpuTarget::V3) {
      // A look-up in a register reads the low four bits of every lane.
      Value low = arith::ExtUIOp::create(b.b, b.loc, b.vec(i32), packed);
      Value high = arith::ShRUIOp::create(b.b, b.loc, low, splat(4));
      return {lookUp(low), lookUp(high)};
    }
    Value lanes = arith::ExtSIOp::create(b.b, b.loc, b.vec(i32), packed);
    Value high = arith::ShRSIOp::create(b.b, b.loc, lanes, splat(4));
    Value low = arith::ShLIOp::create(b.b, b.loc, lanes, splat(28));
    low = arith::ShRSIOp::create(b.b, b.loc, low, splat(28));
    auto toFloat = [&](Value value) -> Value {
      return arith::SIToFPOp::create(b.b, b.loc, b.vec(b.f32()), value);
    };
    return {toFloat(low), toFloat(high)};
  }

  Value step(Value address) {
    return arith::SIToFPOp::create(b.b, b.loc, b.f32(), b.load(i8, address));
  }

  /// Asks for the memory `bytes` behind `address`.
  void prefetch(Value address, Value bytes) {
    LLVM::Prefetch::create(b.b, b.loc, b.at(address, bytes, i8), /*rw=*/0,
                           /*hint=*/2, /*cache=*/1);
  }

private:
  /// The number of each half byte as f32.
  Value lookUp(Value halves) {
    SmallVector<float> numbers;
    for (int i = 0; i < 16; ++i)
      numbers.push_back(i < 8 ? i : i - 16);
    VectorType type = b.vec(b.f32());
    Value table = arith::ConstantOp::create(
        b.b, b.loc, DenseElementsAttr::get(type, ArrayRef<float>(numbers)));
    return LLVM::CallIntrinsicOp::create(
               b.b, b.loc, type,
               b.b.getStringAttr("llvm.x86.avx512.permvar.sf.512"),
               {table, halves})
        .getResult(0);
  }

protected:
  SimdBuilder &b;
  WeightForm form;
  Type i8, i32;
};

/// The body of one product with few rows.
class PackedGemv : WeightReader {
public:
  PackedGemv(SimdBuilder &b, WeightForm form, Type x, Matrix lhs, Matrix out,
             Value weights, Value steps, Value k, Value scratch)
      : WeightReader(b, form), x(x), lhs(lhs), out(out), weights(weights),
        steps(steps), k(k), scratch(scratch) {}

  void emit(Value m, Value n) {
    Value whole = b.roundDown(n, kColumns);
    b.loop(whole, kColumns, [&](Value j) { columns(m, j, kColumns); });
    b.loop(whole, n, 1, [&](Value j) { columns(m, j, 1); });
  }

private:
  /// Columns [j, j + count) of all rows.
  void columns(Value m, Value j, int64_t count) {
    if (form == WeightForm::Int4)
      widenSteps(j, count);
    b.loop(m, 1, [&](Value i) {
      SmallVector<Value> sums = form == WeightForm::Int4 ? dotInt4(i, j, count)
                                                         : dotInt8(i, j, count);
      Value line = b.at(out.base, b.add(b.mul(i, out.stride), j));
      for (int64_t c = 0; c < count; ++c)
        b.store(b.sumLanes(sums[c]), b.at(line, c, b.f32()));
    });
  }

  Value rowOf(Value j, int64_t c) {
    return b.at(weights, b.mul(b.add(j, c), rowBytes(k)), i8);
  }

  /// The steps of `count` rows as f32 in the scratch, whence an instruction
  /// spreads one over all lanes as it reads it.
  void widenSteps(Value j, int64_t count) {
    Value groups = rowSteps(k);
    Value from = b.at(steps, b.mul(j, groups), i8);
    b.lanes(b.mul(groups, count), [&](Value g, Value mask) {
      b.storeV(bytes(b.at(from, g, i8), mask), b.f32(), b.at(scratch, g), mask);
    });
  }

  SmallVector<Value> dotInt4(Value i, Value j, int64_t count) {
    Value row = b.at(lhs.base, b.mul(i, lhs.stride), x);
    Value groups = rowSteps(k);
    Value ahead = prefetchDistance(b, b.mul(rowBytes(k), count));
    SmallVector<Value> rows;
    for (int64_t c = 0; c < count; ++c)
      rows.push_back(rowOf(j, c));
    SmallVector<Value> zeros(count, b.splat(0.0));
    auto sums =
        b.loop(b.cst(0), groups, 1, zeros, [&](Value g, ValueRange carried) {
          SimdBuilder::Values next;
          Value xs = b.at(row, b.mul(g, kGroup), x);
          Value x0 = b.loadV(x, xs), x1 = b.loadV(x, b.at(xs, kLanes, x));
          for (int64_t c = 0; c < count; ++c) {
            Value address = b.at(rows[c], b.mul(g, kGroupBytes), i8);
            prefetch(address, ahead);
            auto [low, high] = group(address);
            Value sum = b.fma(x1, high, b.mulF(x0, low));
            Value at = b.add(g, b.mul(groups, c));
            Value step = b.splat(b.load(b.f32(), b.at(scratch, at)));
            next.push_back(b.fma(sum, step, carried[c]));
          }
          return next;
        });
    return {sums.begin(), sums.end()};
  }

  SmallVector<Value> dotInt8(Value i, Value j, int64_t count) {
    constexpr int64_t kUnroll = 2, kStep = kUnroll * kLanes;
    Value row = b.at(lhs.base, b.mul(i, lhs.stride), x);
    Value ahead = prefetchDistance(b, b.mul(rowBytes(k), count));
    SmallVector<Value> rows;
    for (int64_t c = 0; c < count; ++c)
      rows.push_back(rowOf(j, c));
    SmallVector<Value> zeros(count * kUnroll, b.splat(0.0));
    Value whole = b.roundDown(k, kStep);
    auto sums =
        b.loop(b.cst(0), whole, kStep, zeros, [&](Value r, ValueRange carried) {
          SimdBuilder::Values next(carried.begin(), carried.end());
          SmallVector<Value> xs;
          for (int64_t u = 0; u < kUnroll; ++u)
            xs.push_back(b.loadV(x, b.at(b.at(row, r, x), u * kLanes, x)));
          for (int64_t c = 0; c < count; ++c) {
            Value address = b.at(rows[c], r, i8);
            prefetch(address, ahead);
            for (int64_t u = 0; u < kUnroll; ++u) {
              Value &sum = next[c * kUnroll + u];
              sum = b.fma(xs[u], bytes(b.advance(address, u * kLanes)), sum);
            }
          }
          return next;
        });
    auto tails =
        b.loop(whole, k, kLanes, sums, [&](Value r, ValueRange carried) {
          SimdBuilder::Values next(carried.begin(), carried.end());
          Value mask = b.mask(b.sub(k, r));
          Value xs = b.loadV(x, b.at(row, r, x), mask);
          for (int64_t c = 0; c < count; ++c)
            next[c * kUnroll] =
                b.fma(xs, bytes(b.at(rows[c], r, i8), mask), next[c * kUnroll]);
          return next;
        });
    SmallVector<Value> totals;
    for (int64_t c = 0; c < count; ++c)
      totals.push_back(b.addF(tails[c * kUnroll], tails[c * kUnroll + 1]));
    return totals;
  }

  Type x;
  Matrix lhs, out;
  Value weights, steps, k, scratch;
};
} // namespace

static StringRef formName(WeightForm form) {
  return form == WeightForm::Int4 ? "int4" : "int8";
}

/// The first byte and the first step of the rows.
static std::pair<Value, Value>
firstRow(SimdBuilder &b, const PackedWeights &weights, Value columns) {
  WeightReader reader(b, weights.form);
  Type i8 = b.b.getI8Type();
  Value base =
      b.at(weights.base, b.mul(weights.row, reader.rowBytes(columns)), i8);
  Value steps = base;
  if (weights.steps)
    steps =
        b.at(weights.steps, b.mul(weights.row, reader.rowSteps(columns)), i8);
  return {base, steps};
}

void cpu::emitPackedGemv(SimdBuilder &b, ModuleOp module, const GemmCall &call,
                         const PackedWeights &weights) {
  std::string name;
  llvm::raw_string_ostream(name)
      << "gemv_" << call.kind.lhs << "_" << formName(weights.form);
  auto [base, steps] = firstRow(b, weights, call.k);
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
    PackedGemv(inner, weights.form, call.kind.lhs, {argument(0), argument(1)},
               {argument(4), argument(5)}, argument(2), argument(3),
               argument(8), argument(9))
        .emit(argument(6), argument(7));
  }
  func::CallOp::create(b.b, b.loc, fn, operands);
}

void cpu::emitUnpack(SimdBuilder &b, ModuleOp module,
                     const PackedWeights &weights, Type type, Value rows,
                     Value columns, Value to) {
  std::string name;
  llvm::raw_string_ostream(name)
      << "unpack_" << formName(weights.form) << "_" << type;
  auto [base, steps] = firstRow(b, weights, columns);
  SmallVector<Value> operands = {base, steps, rows, columns, to};
  auto [fn, isNew] = getOrCreateHelper(module, b.target, name,
                                       ValueRange(operands).getTypes());
  if (isNew) {
    SimdBuilder inner(fn, b.target);
    WeightReader reader(inner, weights.form);
    auto argument = [fn = fn](unsigned i) -> Value {
      return func::FuncOp(fn).getArgument(i);
    };
    Type i8 = inner.b.getI8Type();
    Value k = argument(3);
    inner.loop(argument(2), 1, [&](Value j) {
      Value line = inner.at(argument(4), inner.mul(j, k), type);
      Value from = inner.at(argument(0), inner.mul(j, reader.rowBytes(k)), i8);
      if (weights.form == WeightForm::Int8) {
        inner.lanes(k, [&](Value r, Value mask) {
          inner.storeV(reader.bytes(inner.at(from, r, i8), mask), type,
                       inner.at(line, r, type), mask);
        });
        return;
      }
      Value groups = reader.rowSteps(k);
      Value stepRow = inner.at(argument(1), inner.mul(j, groups), i8);
      inner.loop(groups, 1, [&](Value g) {
        auto [low, high] =
            reader.group(inner.at(from, inner.mul(g, kGroupBytes), i8));
        Value step = inner.splat(reader.step(inner.at(stepRow, g, i8)));
        Value target = inner.at(line, inner.mul(g, kGroup), type);
        inner.storeV(inner.mulF(low, step), type, target);
        inner.storeV(inner.mulF(high, step), type,
                     inner.at(target, kLanes, type));
      });
    });
  }
  func::CallOp::create(b.b, b.loc, fn, operands);
}
