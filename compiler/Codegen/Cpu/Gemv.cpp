//===- Gemv.cpp - Products with few rows ----------------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A decoding step reads every weight once: the speed is that of memory. Weights
// are streamed as they lie, four rows of the matrix at a time, and stay in the
// first cache for the other rows of x.
//
//===----------------------------------------------------------------------===//

#include "compiler/Codegen/Cpu/GemmKernel.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

using namespace mlir;
using namespace qwen;
using namespace qwen::cpu;

// Rows of the weight at a time, and vectors of each in flight.
static constexpr int64_t kColumns = 4, kUnroll = 2;

namespace {
struct GemvEmitter {
  SimdBuilder &b;
  Type x, weight;
  Matrix lhs, rhs, out;
  Value k;

  /// Columns [j, j + count) of row i.
  void dot(Value i, Value j, int64_t count);
};
} // namespace

void GemvEmitter::dot(Value i, Value j, int64_t count) {
  Value row = b.at(lhs.base, b.mul(i, lhs.stride), x);
  SmallVector<Value> weights;
  for (int64_t c = 0; c < count; ++c)
    weights.push_back(b.at(rhs.base, b.mul(b.add(j, c), rhs.stride), weight));
  int64_t step = kUnroll * kLanes;
  Value rowBytes = b.mul(rhs.stride, weight.getIntOrFloatBitWidth() / 8);
  Value ahead = prefetchDistance(b, b.mul(rowBytes, count));
  SmallVector<Value> zeros(count * kUnroll, b.splat(0.0));
  Value whole = b.roundDown(k, step);
  auto sums =
      b.loop(b.cst(0), whole, step, zeros, [&](Value r, ValueRange carried) {
        SimdBuilder::Values next(carried.begin(), carried.end());
        SmallVector<Value> xs;
        for (int64_t u = 0; u < kUnroll; ++u)
          xs.push_back(b.loadV(x, b.at(b.at(row, r, x), u * kLanes, x)));
        for (int64_t c = 0; c < count; ++c) {
          Value address = b.at(weights[c], r, weight);
          LLVM::Prefetch::create(b.b, b.loc,
                                 b.at(address, ahead, b.b.getI8Type()),
                                 /*rw=*/0, /*hint=*/2, /*cache=*/1);
          for (int64_t u = 0; u < kUnroll; ++u) {
            Value &sum = next[c * kUnroll + u];
            sum = b.fma(
                xs[u], b.loadV(weight, b.at(address, u * kLanes, weight)), sum);
          }
        }
        return next;
      });
  auto tails = b.loop(whole, k, kLanes, sums, [&](Value r, ValueRange carried) {
    SimdBuilder::Values next(carried.begin(), carried.end());
    Value mask = b.mask(b.sub(k, r));
    Value xs = b.loadV(x, b.at(row, r, x), mask);
    for (int64_t c = 0; c < count; ++c) {
      Value ws = b.loadV(weight, b.at(weights[c], r, weight), mask);
      next[c * kUnroll] = b.fma(xs, ws, next[c * kUnroll]);
    }
    return next;
  });
  Value line = b.at(out.base, b.add(b.mul(i, out.stride), j));
  for (int64_t c = 0; c < count; ++c) {
    Value sum = tails[c * kUnroll];
    for (int64_t u = 1; u < kUnroll; ++u)
      sum = b.addF(sum, tails[c * kUnroll + u]);
    b.store(b.sumLanes(sum), b.at(line, c, b.f32()));
  }
}

// The same place some rows further on: far enough for memory, and in the order
// of the reading also where the rows are long.
Value cpu::prefetchDistance(SimdBuilder &b, Value blockBytes) {
  constexpr int64_t kLeastBytes = 8192;
  Value blocks = b.div(b.add(blockBytes, kLeastBytes - 1), blockBytes);
  return b.mul(blocks, blockBytes);
}

void cpu::emitGemv(SimdBuilder &b, ModuleOp module, const GemmCall &call) {
  std::string name;
  llvm::raw_string_ostream(name)
      << "gemv_" << call.kind.lhs << "_" << call.kind.rhs;
  SmallVector<Value> operands = {
      call.lhs.base,   call.lhs.stride, call.rhs.base,
      call.rhs.stride, call.out.base,   call.out.stride,
      call.m,          call.n,          call.k};
  auto [fn, isNew] = getOrCreateHelper(module, b.target, name,
                                       ValueRange(operands).getTypes());
  if (isNew) {
    SimdBuilder inner(fn, b.target);
    auto argument = [fn = fn](unsigned i) -> Value {
      return func::FuncOp(fn).getArgument(i);
    };
    GemvEmitter emitter = {inner,
                           call.kind.lhs,
                           call.kind.rhs,
                           {argument(0), argument(1)},
                           {argument(2), argument(3)},
                           {argument(4), argument(5)},
                           argument(8)};
    Value m = argument(6), n = argument(7);
    Value whole = inner.roundDown(n, kColumns);
    inner.loop(whole, kColumns, [&](Value j) {
      inner.loop(m, 1, [&](Value i) { emitter.dot(i, j, kColumns); });
    });
    inner.loop(whole, n, 1, [&](Value j) {
      inner.loop(m, 1, [&](Value i) { emitter.dot(i, j, 1); });
    });
  }
  func::CallOp::create(b.b, b.loc, fn, operands);
}
