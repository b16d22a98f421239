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

// A row of `columns` numbers in bytes of int4, and its steps.
static Value rowBytes(SimdBuilder &b, Value columns) {
  return b.div(columns, 2);
}
static Value rowSteps(SimdBuilder &b, Value columns) {
  return b.div(columns, kGroup);
}

/// The number of each half byte (the low four bits of a lane) as f32, by a
/// look-up in a register.
static Value lookUp(SimdBuilder &b, Value halves) {
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

/// The two halves of a group of int4 as f32, without its step.
static std::pair<Value, Value> loadGroup(SimdBuilder &b, Value address) {
  Type i32 = b.b.getI32Type();
  Value packed = b.load(b.vectorType(b.b.getI8Type(), kLanes), address);
  auto splat = [&](int64_t bits) { return b.constant(b.vec(i32), bits); };
  if (b.target.level != CpuTarget::V3) {
    Value low = arith::ExtUIOp::create(b.b, b.loc, b.vec(i32), packed);
    Value high = arith::ShRUIOp::create(b.b, b.loc, low, splat(4));
    return {lookUp(b, low), lookUp(b, high)};
  }
  Value lanes = arith::ExtSIOp::create(b.b, b.loc, b.vec(i32), packed);
  Value high = arith::ShRSIOp::create(b.b, b.loc, lanes, splat(4));
  Value low = arith::ShLIOp::create(b.b, b.loc, lanes, splat(28));
  low = arith::ShRSIOp::create(b.b, b.loc, low, splat(28));
  return {b.widen(low), b.widen(high)};
}

namespace {
/// The body of a product of few rows with int4.
struct Int4Gemv {
  SimdBuilder &b;
  Type x;
  Matrix lhs, out;
  Value weights, steps, k, scratch;

  void emit(Value m, Value n) {
    Value whole = b.roundDown(n, kColumns);
    b.loop(whole, kColumns, [&](Value j) { columns(m, j, kColumns); });
    b.loop(whole, n, 1, [&](Value j) { columns(m, j, 1); });
  }

private:
  /// Columns [j, j + count) of all rows. Their steps come first, as f32 in the
  /// scratch, whence an instruction spreads one over all lanes as it reads it.
  void columns(Value m, Value j, int64_t count) {
    Type i8 = b.b.getI8Type();
    Value groups = rowSteps(b, k), from = b.at(steps, b.mul(j, groups), i8);
    b.lanes(b.mul(groups, count), [&](Value g, Value mask) {
      b.storeV(b.loadV(i8, b.at(from, g, i8), mask), b.f32(), b.at(scratch, g),
               mask);
    });
    b.loop(m, 1, [&](Value i) {
      SmallVector<Value> sums = dot(i, j, count);
      Value line = b.at(out.base, b.add(b.mul(i, out.stride), j));
      for (int64_t c = 0; c < count; ++c)
        b.store(b.sumLanes(sums[c]), b.at(line, c, b.f32()));
    });
  }

  SmallVector<Value> dot(Value i, Value j, int64_t count) {
    Type i8 = b.b.getI8Type();
    Value row = b.at(lhs.base, b.mul(i, lhs.stride), x);
    Value groups = rowSteps(b, k), bytes = rowBytes(b, k);
    Value ahead = prefetchDistance(b, b.mul(bytes, count));
    SmallVector<Value> rows;
    for (int64_t c = 0; c < count; ++c)
      rows.push_back(b.at(weights, b.mul(b.add(j, c), bytes), i8));
    SmallVector<Value> zeros(count, b.splat(0.0));
    auto sums =
        b.loop(b.cst(0), groups, 1, zeros, [&](Value g, ValueRange carried) {
          SimdBuilder::Values next;
          Value xs = b.at(row, b.mul(g, kGroup), x);
          Value x0 = b.loadV(x, xs), x1 = b.loadV(x, b.at(xs, kLanes, x));
          for (int64_t c = 0; c < count; ++c) {
            Value address = b.at(rows[c], b.mul(g, kGroupBytes), i8);
            LLVM::Prefetch::create(b.b, b.loc, b.at(address, ahead, i8),
                                   /*rw=*/0, /*hint=*/2, /*cache=*/1);
            auto [low, high] = loadGroup(b, address);
            Value sum = b.fma(x1, high, b.mulF(x0, low));
            Value at = b.add(g, b.mul(groups, c));
            Value step = b.splat(b.load(b.f32(), b.at(scratch, at)));
            next.push_back(b.fma(sum, step, carried[c]));
          }
          return next;
        });
    return {sums.begin(), sums.end()};
  }
};
} // namespace

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
        auto [low, high] =
            loadGroup(inner, inner.at(from, inner.mul(g, kGroupBytes), i8));
        Value step = inner.splat(inner.loadF(i8, inner.at(stepRow, g, i8)));
        Value target = inner.at(line, inner.mul(g, kGroup), type);
        inner.storeV(inner.mulF(low, step), type, target);
        inner.storeV(inner.mulF(high, step), type,
                     inner.at(target, kLanes, type));
      });
    });
  }
  func::CallOp::create(b.b, b.loc, fn, operands);
}
