//===- AttentionTile.cpp - A block of queries against its keys ------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Codegen/Cpu/AttentionTile.h"

#include <limits>

using namespace mlir;
using namespace qwen;
using namespace qwen::cpu;

static constexpr double kInfinity = std::numeric_limits<double>::infinity();

namespace {
/// Scratch of a tile: scores, output, running maximum and denominator.
struct Buffers {
  static constexpr int64_t kScores =
      4 * AttentionTile::kQueries * AttentionTile::kKeys;
  static constexpr int64_t kStatistics = 4 * AttentionTile::kQueries;

  Buffers(SimdBuilder &b, const AttentionTile &tile, Value scratch)
      : outStride(llvm::alignTo(tile.headDim, kLanes)), scores(scratch),
        maxima(b.advance(scores, kScores)),
        sums(b.advance(maxima, kStatistics)), out(b.advance(sums, kStatistics)),
        gemm(b.advance(out, 4 * AttentionTile::kQueries * outStride)) {}

  int64_t outStride;
  Value scores, maxima, sums, out, gemm;
};
} // namespace

int64_t cpu::attentionScratchBytes(const AttentionTile &tile,
                                   const CpuTarget &target) {
  return Buffers::kScores + 2 * Buffers::kStatistics +
         4 * AttentionTile::kQueries * llvm::alignTo(tile.headDim, kLanes) +
         gemmScratchBytes(target);
}

Value FirstKeys::of(SimdBuilder &b, Value t, Value last) const {
  Type i32 = b.b.getI32Type();
  Value first = b.cst(0);
  if (starts)
    first = b.toI64(b.load(i32, b.at(starts, t, i32)));
  return window ? b.max(first, b.add(last, 1 - window)) : first;
}

FirstKeys FirstKeys::from(SimdBuilder &b, Value t) const {
  return {window, starts ? b.at(starts, t, b.b.getI32Type()) : Value()};
}

/// Turns `count` scores at `row` (the first `valid` of them visible, any
/// number, without the first `hidden` if that is not null) into
/// exp(scale score - maximum), 0 where not visible, in place as numbers of
/// `element`. Updates the maximum and the denominator and returns the factor
/// for what was summed under the old maximum. The maximum is that of something:
/// a first call sees a score.
static Value softmaxStep(SimdBuilder &b, double scale, Type element, Value row,
                         Value count, Value valid, Value hidden,
                         Value maximumAt, Value sumAt) {
  Type f32 = b.f32();
  auto only = [&](Value j, Value scores, Value other) {
    scores = b.select(b.mask(b.sub(valid, j)), scores, other);
    return hidden ? b.select(b.mask(b.sub(hidden, j)), other, scores) : scores;
  };
  Value scales = b.splat(scale), lowest = b.splat(-kInfinity);
  Value zero = b.splat(0.0);
  auto best = b.loop(b.cst(0), count, kLanes, ValueRange{lowest},
                     [&](Value j, ValueRange carried) {
                       Value scores =
                           b.mulF(b.loadV(f32, b.at(row, j)), scales);
                       scores = only(j, scores, lowest);
                       return SimdBuilder::Values{b.maxF(carried[0], scores)};
                     });
  Value before = b.load(f32, maximumAt);
  Value maximum = b.maxF(before, b.maxLanes(best[0]));
  Value maxima = b.splat(maximum);
  auto sums = b.loop(b.cst(0), count, kLanes, ValueRange{zero},
                     [&](Value j, ValueRange carried) {
                       Value scores =
                           b.mulF(b.loadV(f32, b.at(row, j)), scales);
                       Value p = b.exp(b.subF(scores, maxima));
                       p = only(j, p, zero);
                       // A narrower type never overtakes what is still read.
                       b.storeV(p, element, b.at(row, j, element));
                       return SimdBuilder::Values{b.addF(carried[0], p)};
                     });
  Value factor = b.exp(b.subF(before, maximum));
  Value sum = b.addF(b.mulF(b.load(f32, sumAt), factor), b.sumLanes(sums[0]));
  b.store(maximum, maximumAt);
  b.store(sum, sumAt);
  return factor;
}

/// out = sums of p v / denominator; lse = maximum + log(denominator).
static void finish(SimdBuilder &b, const AttentionTile &tile,
                   const AttentionTile::Operands &operands,
                   const Buffers &buffers) {
  Type f32 = b.f32();
  b.loop(operands.queries, 1, [&](Value t) {
    Value sum = b.load(f32, b.at(buffers.sums, t));
    Value inverse = b.splat(b.divF(b.f32(1.0), sum));
    Value from = b.at(buffers.out, b.mul(t, buffers.outStride));
    Value to = b.at(operands.out.base, b.mul(t, operands.out.stride), tile.out);
    b.lanes(b.cst(tile.headDim), [&](Value d, Value mask) {
      Value lanes = b.mulF(b.loadV(f32, b.at(from, d)), inverse);
      b.storeV(lanes, tile.out, b.at(to, d, tile.out), mask);
    });
    if (operands.lse.base)
      b.store(b.addF(b.load(f32, b.at(buffers.maxima, t)), b.log(sum)),
              b.at(operands.lse.base, b.mul(t, operands.lse.stride)));
  });
}

static void clear(SimdBuilder &b, const AttentionTile &tile,
                  const AttentionTile::Operands &operands,
                  const Buffers &buffers) {
  b.fill(buffers.maxima, operands.queries, -kInfinity);
  b.fill(buffers.sums, operands.queries, 0);
  b.fill(buffers.out, b.mul(operands.queries, buffers.outStride), 0);
}

void cpu::emitAttentionTile(SimdBuilder &b, ModuleOp module,
                            const AttentionTile &tile,
                            const AttentionTile::Operands &operands,
                            Value scratch) {
  Type f32 = b.f32();
  Buffers buffers(b, tile, scratch);
  clear(b, tile, operands, buffers);
  Value headDim = b.cst(tile.headDim), scoreStride = b.cst(tile.kKeys);
  // Rows keep their places when they become narrower.
  Value probabilityStride =
      b.cst(32 / tile.v.getIntOrFloatBitWidth() * tile.kKeys);
  Value outStride = b.cst(buffers.outStride);
  const FirstKeys &firstKeys = operands.firstKeys;
  auto firstKey = [&](Value t) {
    Value last = b.add(operands.first, t), end = b.sub(operands.keys, b.cst(1));
    return firstKeys.of(b, t, b.min(last, end));
  };
  // No query sees a key before the first query's.
  Value begin = firstKeys.any() ? firstKey(b.cst(0)) : b.cst(0);
  b.loop(begin, operands.keys, tile.kKeys, [&](Value s0) {
    Value count = b.min(b.sub(operands.keys, s0), tile.kKeys);
    Matrix k = {b.at(operands.k.base, b.mul(s0, operands.k.stride), tile.k),
                operands.k.stride};
    Matrix v = {b.at(operands.v.base, b.mul(s0, operands.v.stride), tile.v),
                operands.v.stride};
    emitGemm(b, module,
             {{GemmForm::NT, tile.q, tile.k},
              operands.q,
              k,
              {buffers.scores, scoreStride},
              operands.queries,
              count,
              headDim,
              b.cst(0),
              buffers.gemm});
    b.loop(operands.queries, 1, [&](Value t) {
      Value valid = b.sub(b.add(b.add(operands.first, t), 1), s0);
      valid = b.min(valid, count); // queries behind a cache's end
      Value row = b.at(buffers.scores, b.mul(t, tile.kKeys));
      auto step = [&](Value hidden) {
        Value factor =
            softmaxStep(b, tile.scale, tile.v, row, count, valid, hidden,
                        b.at(buffers.maxima, t), b.at(buffers.sums, t));
        Value line = b.at(buffers.out, b.mul(t, buffers.outStride));
        Value factors = b.splat(factor);
        b.when(b.ne(s0, begin), [&] {
          b.loop(outStride, kLanes, [&](Value d) {
            Value address = b.at(line, d);
            b.storeV(b.mulF(b.loadV(f32, address), factors), f32, address);
          });
        });
      };
      if (!firstKeys.any())
        return step({});
      Value hidden = b.sub(firstKey(t), s0);
      b.when(
          b.le(hidden, b.cst(0)), [&] { step({}); },
          [&] {
            b.when(
                b.lt(hidden, count), [&] { step(hidden); },
                [&] { b.fill(row, count, 0); });
          });
    });
    emitGemm(b, module,
             {{GemmForm::NN, tile.v, tile.v},
              {buffers.scores, probabilityStride},
              v,
              {buffers.out, outStride},
              operands.queries,
              headDim,
              count,
              b.cst(1),
              buffers.gemm});
  });
  finish(b, tile, operands, buffers);
}

void cpu::emitAttentionRows(SimdBuilder &b, const AttentionTile &tile,
                            const AttentionTile::Operands &operands,
                            Value scratch) {
  Type f32 = b.f32();
  Buffers buffers(b, tile, scratch);
  clear(b, tile, operands, buffers);
  int64_t vectors = llvm::divideCeil(tile.headDim, kLanes);
  auto maskOf = [&](int64_t i) {
    int64_t left = tile.headDim - i * kLanes;
    return left >= kLanes ? Value() : b.mask(b.cst(left));
  };
  b.loop(operands.queries, 1, [&](Value t) {
    Value qRow = b.at(operands.q.base, b.mul(t, operands.q.stride), tile.q);
    Value line = b.at(buffers.out, b.mul(t, buffers.outStride));
    Value visible = b.min(b.add(b.add(operands.first, t), 1), operands.keys);
    SmallVector<Value> query;
    for (int64_t i = 0; i < vectors; ++i)
      query.push_back(
          b.loadV(tile.q, b.at(qRow, i * kLanes, tile.q), maskOf(i)));
    Value begin = operands.firstKeys.of(b, t, b.sub(visible, b.cst(1)));
    b.loop(begin, visible, tile.kKeys, [&](Value s0) {
      Value count = b.min(b.sub(visible, s0), tile.kKeys);
      b.loop(count, 1, [&](Value s) {
        Value key = b.at(operands.k.base,
                         b.mul(b.add(s0, s), operands.k.stride), tile.k);
        Value sum = b.splat(0.0);
        for (int64_t i = 0; i < vectors; ++i)
          sum = b.fma(query[i],
                      b.loadV(tile.k, b.at(key, i * kLanes, tile.k), maskOf(i)),
                      sum);
        b.store(b.sumLanes(sum), b.at(buffers.scores, s));
      });
      Value factor =
          softmaxStep(b, tile.scale, f32, buffers.scores, count, count, {},
                      b.at(buffers.maxima, t), b.at(buffers.sums, t));
      Value factors = b.splat(factor);
      SmallVector<Value> sums;
      for (int64_t i = 0; i < vectors; ++i)
        sums.push_back(
            b.mulF(b.loadV(f32, b.at(line, i * kLanes, f32)), factors));
      auto next =
          b.loop(b.cst(0), count, 1, sums, [&](Value s, ValueRange carried) {
            Value value = b.at(operands.v.base,
                               b.mul(b.add(s0, s), operands.v.stride), tile.v);
            Value p = b.splat(b.load(f32, b.at(buffers.scores, s)));
            SimdBuilder::Values added;
            for (int64_t i = 0; i < vectors; ++i)
              added.push_back(b.fma(
                  p,
                  b.loadV(tile.v, b.at(value, i * kLanes, tile.v), maskOf(i)),
                  carried[i]));
            return added;
          });
      for (int64_t i = 0; i < vectors; ++i)
        b.storeV(next[i], f32, b.at(line, i * kLanes, f32));
    });
  });
  finish(b, tile, operands, buffers);
}
