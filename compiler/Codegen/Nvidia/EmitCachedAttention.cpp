//===- EmitCachedAttention.cpp - Attention over a cache on GPUs -----------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Prompts go through tiles as in training. A single query has too little work
// for that: the visible part of the cache is split among blocks, and a second
// kernel combines what they found.
//
//===----------------------------------------------------------------------===//

#include <limits>

#include "compiler/Codegen/BlockOperands.h"
#include "compiler/Codegen/Nvidia/Emitters.h"
#include "compiler/Codegen/Nvidia/FlashAttention.h"
#include "compiler/Codegen/Nvidia/SharedMemory.h"

using namespace mlir;
using namespace qwen;
using namespace qwen::nvidia;
using arith::CmpIPredicate;

/// Parts of the visible cache, and threads of a block.
static constexpr int64_t kSplits = 16, kThreads = 128;
static constexpr double kLowest = -std::numeric_limits<double>::infinity();

namespace {
struct CacheShape {
  CachedAttentionOp op;
  int64_t heads, groups, length, headDim;
  double scale;

  explicit CacheShape(CachedAttentionOp op)
      : op(op), heads(dimOf(op.getQ(), 2)), groups(dimOf(op.getK(), 1)),
        length(dimOf(op.getK(), 2)), headDim(dimOf(op.getK(), 3)),
        scale(op.getScale().convertToDouble()) {}

  bool isSingle() const { return dimOf(CachedAttentionOp(op).getQ(), 1) == 1; }
  /// Floats that a split leaves: maximum, denominator, sums.
  int64_t partFloats() const { return headDim + 2; }
  Value start(KernelBuilder &b, Value batch) {
    return b.toI64(
        b.load(b.b.getI32Type(), operandPointer(b, op.getStart()), batch));
  }
  /// The first element of a group's keys or values.
  Value cache(KernelBuilder &b, Value tensor, Value batch, Value group) {
    Value row = b.addI(b.mulI(batch, groups), group);
    return b.pointerAt(operandPointer(b, tensor), elementOf(tensor),
                       b.mulI(row, length * headDim));
  }
  Value groupOf(KernelBuilder &b, Value head) {
    return b.divI(head, b.i64(heads / groups));
  }
};
} // namespace

//===----------------------------------------------------------------------===//
// Prompts
//===----------------------------------------------------------------------===//

static Launch emitPrompt(CacheShape &c, const NvidiaTarget &target,
                         gpu::GPUModuleOp module) {
  CachedAttentionOp op = c.op;
  KernelBuilder b(op->getParentOfType<kernel::FuncOp>(), 0, target, module,
                  FlashForward::scores().threads());
  Value head = b.block(1), batch = b.block(2), group = c.groupOf(b, head);
  int64_t fixed = dimOf(op.getQ(), 1);
  Value sequence = ShapedType::isDynamic(fixed) ? b.sequence() : b.i64(fixed);
  Value row = b.addI(b.mulI(b.mulI(batch, sequence), c.heads), head);
  Value start = c.start(b, batch);
  // What is written past the cache's end is not there to be read.
  Value keys = b.minI(b.addI(start, sequence), b.i64(c.length));
  auto cached = [&](Value tensor) {
    return GlobalMatrix{c.cache(b, tensor, batch, group),
                        elementOf(tensor),
                        c.headDim,
                        keys,
                        b.i64(c.headDim),
                        c.headDim,
                        /*isAligned=*/true};
  };
  FlashForward flash;
  flash.q = {b.pointerAt(operandPointer(b, op.getQ()), elementOf(op.getQ()),
                         b.mulI(row, c.headDim)),
             elementOf(op.getQ()),
             c.heads * c.headDim,
             sequence,
             b.i64(c.headDim),
             c.headDim,
             /*isAligned=*/true};
  flash.k = cached(op.getK());
  flash.v = cached(op.getV());
  flash.headDim = c.headDim;
  flash.scale = c.scale;
  flash.element = attentionElement({op.getQ(), op.getK(), op.getV()});
  flash.firstQuery = b.mulI(b.block(0), kQueries);
  flash.position = start;
  flash.window = op.getWindow();
  flash.outElement = elementOf(op.getResult());
  flash.out = b.pointerAt(resultPointer(b, op.getResult()), flash.outElement,
                          b.mulI(row, c.headDim));
  flash.outStride = c.heads * c.headDim;
  flash.lseStride = 0;
  flash.emit(b);
  MLIRContext *context = op.getContext();
  AffineMap tiles =
      ShapedType::isDynamic(fixed)
          ? AffineMap::get(0, 3,
                           getAffineSymbolExpr(1, context).ceilDiv(kQueries))
          : blocks(context, llvm::divideCeil(fixed, kQueries));
  return b.launch(tiles, blocks(context, c.heads),
                  AffineMap::get(0, 3, getAffineSymbolExpr(0, context)));
}

//===----------------------------------------------------------------------===//
// Single queries
//===----------------------------------------------------------------------===//

namespace {
/// The elements of a head that one lane has: neighbours if they divide evenly,
/// else every 32nd.
class LaneElements {
public:
  LaneElements(KernelBuilder &b, int64_t headDim)
      : b(b), headDim(headDim), perLane(llvm::divideCeil(headDim, kWarp)),
        isVector(headDim % kWarp == 0 && llvm::isPowerOf2_64(perLane) &&
                 perLane <= 8) {}

  int64_t count() const { return perLane; }
  Value index(int64_t i) {
    return isVector ? b.addI(b.mulI(b.lane(), perLane), i)
                    : b.addI(b.lane(), i * kWarp);
  }
  Value exists(int64_t i) {
    return b.cmpI(CmpIPredicate::slt, index(i), b.i64(headDim));
  }
  SmallVector<Value> load(Type element, Value pointer, Value offset) {
    SmallVector<Value> values;
    if (isVector) {
      Value all =
          b.loadF32(element, perLane, pointer, b.addI(offset, index(0)));
      for (int64_t i = 0; i < perLane; ++i)
        values.push_back(b.extract(all, i));
      return values;
    }
    for (int64_t i = 0; i < perLane; ++i)
      values.push_back(b.ifElse(
          exists(i),
          [&]() -> SmallVector<Value> {
            return {
                b.widen(b.load(element, pointer, b.addI(offset, index(i))))};
          },
          [&]() -> SmallVector<Value> { return {b.f32(0)}; })[0]);
    return values;
  }

private:
  KernelBuilder &b;
  int64_t headDim, perLane;
  bool isVector;
};
} // namespace

/// exp(x - maximum), 0 where there is nothing.
static Value weightOf(KernelBuilder &b, Value x, Value maximum) {
  Value isEmpty = b.cmpF(arith::CmpFPredicate::OEQ, x, b.f32(kLowest));
  return b.select(isEmpty, b.f32(0), b.exp(b.sub(x, maximum)));
}

/// Blocks: splits, heads, batch. A warp takes every fourth key of the split.
static Launch emitSplits(CacheShape &c, const NvidiaTarget &target,
                         gpu::GPUModuleOp module) {
  CachedAttentionOp op = c.op;
  KernelBuilder b(op->getParentOfType<kernel::FuncOp>(), 0, target, module,
                  kThreads);
  int64_t warps = kThreads / kWarp, part = c.partFloats();
  Value split = b.block(0), head = b.block(1), batch = b.block(2);
  Value group = c.groupOf(b, head);
  Value visible = b.minI(b.addI(c.start(b, batch), 1), b.i64(c.length));
  Value low = b.i64(0);
  if (int64_t window = op.getWindow())
    low = b.maxI(low, b.subI(visible, b.i64(window)));
  Value size =
      b.divI(b.addI(b.subI(visible, low), kSplits - 1), b.i64(kSplits));
  Value first = b.addI(low, b.mulI(split, size));
  Value last = b.minI(b.addI(first, size), visible);
  LaneElements lanes(b, c.headDim);
  Value row = b.addI(b.mulI(batch, c.heads), head);
  SmallVector<Value> q =
      lanes.load(elementOf(op.getQ()), operandPointer(b, op.getQ()),
                 b.mulI(row, c.headDim));
  Value keys = c.cache(b, op.getK(), batch, group);
  Value values = c.cache(b, op.getV(), batch, group);
  SmallVector<Value> start = {b.f32(kLowest), b.f32(0)};
  start.append(lanes.count(), b.f32(0));
  SmallVector<Value> found = b.forLoop(
      b.addI(first, b.warp()), last, warps, start,
      [&](Value key, ValueRange carried) -> SmallVector<Value> {
        Value offset = b.mulI(key, c.headDim);
        SmallVector<Value> k = lanes.load(elementOf(op.getK()), keys, offset);
        SmallVector<Value> v = lanes.load(elementOf(op.getV()), values, offset);
        Value score = b.f32(0);
        for (auto [x, y] : llvm::zip(q, k))
          score = b.fma(x, y, score);
        score = b.combineGroup(score, kWarp,
                               [&](Value x, Value y) { return b.add(x, y); });
        score = b.mul(score, b.f32(c.scale));
        Value maximum = b.maximum(carried[0], score);
        Value factor = weightOf(b, carried[0], maximum);
        Value weight = b.exp(b.sub(score, maximum));
        SmallVector<Value> next = {maximum, b.fma(carried[1], factor, weight)};
        for (int64_t i = 0; i < lanes.count(); ++i)
          next.push_back(b.fma(v[i], weight, b.mul(carried[2 + i], factor)));
        return next;
      });

  Value shared = b.shared(4 * warps * part);
  Value mine = b.mulI(b.warp(), part);
  b.ifThen(b.cmpI(CmpIPredicate::eq, b.lane(), b.i64(0)), [&] {
    b.store(found[0], shared, mine);
    b.store(found[1], shared, b.addI(mine, 1));
  });
  for (int64_t i = 0; i < lanes.count(); ++i)
    b.ifThen(lanes.exists(i), [&] {
      b.store(found[2 + i], shared, b.addI(b.addI(mine, 2), lanes.index(i)));
    });
  b.barrier();
  // What the warps found, under their common maximum.
  Value maximum = b.f32(kLowest);
  SmallVector<Value> maxima;
  for (int64_t w = 0; w < warps; ++w) {
    maxima.push_back(b.load(b.f32(), shared, b.i64(w * part)));
    maximum = b.maximum(maximum, maxima.back());
  }
  Value to = b.mulI(b.addI(b.mulI(row, kSplits), split), part);
  b.forLoop(b.thread(), b.i64(part), kThreads, [&](Value item) {
    Value sum = b.f32(0);
    for (int64_t w = 0; w < warps; ++w)
      sum = b.fma(b.load(b.f32(), shared, b.addI(item, w * part)),
                  weightOf(b, maxima[w], maximum), sum);
    Value isMaximum = b.cmpI(CmpIPredicate::eq, item, b.i64(0));
    b.store(b.select(isMaximum, maximum, sum), b.workspace(), b.addI(to, item));
  });
  MLIRContext *context = op.getContext();
  return b.launch(blocks(context, kSplits), blocks(context, c.heads),
                  AffineMap::get(0, 3, getAffineSymbolExpr(0, context)));
}

/// Blocks: heads, batch.
static Launch emitCombine(CacheShape &c, const NvidiaTarget &target,
                          gpu::GPUModuleOp module) {
  CachedAttentionOp op = c.op;
  KernelBuilder b(op->getParentOfType<kernel::FuncOp>(), 1, target, module,
                  kThreads);
  int64_t part = c.partFloats();
  Value row = b.addI(b.mulI(b.block(1), c.heads), b.block(0));
  Value from = b.mulI(row, kSplits * part);
  auto partAt = [&](int64_t split, Value item) {
    return b.load(b.f32(), b.workspace(),
                  b.addI(b.addI(from, split * part), item));
  };
  Value maximum = b.f32(kLowest), denominator = b.f32(0);
  SmallVector<Value> weights;
  for (int64_t s = 0; s < kSplits; ++s) {
    weights.push_back(partAt(s, b.i64(0)));
    maximum = b.maximum(maximum, weights.back());
  }
  for (int64_t s = 0; s < kSplits; ++s) {
    weights[s] = weightOf(b, weights[s], maximum);
    denominator = b.fma(partAt(s, b.i64(1)), weights[s], denominator);
  }
  Type element = elementOf(op.getResult());
  Value out = resultPointer(b, op.getResult());
  b.forLoop(b.thread(), b.i64(c.headDim), kThreads, [&](Value d) {
    Value sum = b.f32(0);
    for (int64_t s = 0; s < kSplits; ++s)
      sum = b.fma(partAt(s, b.addI(d, 2)), weights[s], sum);
    b.store(b.narrow(b.div(sum, denominator), element), out,
            b.addI(b.mulI(row, c.headDim), d));
  });
  MLIRContext *context = op.getContext();
  return b.launch(blocks(context, c.heads),
                  AffineMap::get(0, 3, getAffineSymbolExpr(0, context)));
}

FailureOr<KernelCode> nvidia::emitCachedAttention(kernel::FuncOp fn,
                                                  const NvidiaTarget &target,
                                                  gpu::GPUModuleOp module) {
  auto op = blockOp<CachedAttentionOp>(fn);
  if (failed(verifyBlock(op)))
    return failure();
  CacheShape c(op);
  KernelCode code;
  if (c.isSingle())
    code = {emitSplits(c, target, module), emitCombine(c, target, module)};
  else
    code = {emitPrompt(c, target, module)};
  for (const Launch &launch : code)
    if (failed(verifyShared(op, launch)))
      return failure();
  return code;
}

int64_t nvidia::workspaceCachedAttention(kernel::FuncOp fn,
                                         const NvidiaTarget &,
                                         int64_t maxRows) {
  CacheShape c(blockOp<CachedAttentionOp>(fn));
  return c.isSingle() ? 4 * maxRows * c.heads * kSplits * c.partFloats() : 0;
}
