//===- EmitAttentionGrad.cpp - The gradients of attention on GPUs ---------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Three kernels: delta; dk and dv, a block for a tile of keys; dq, a block for
// a tile of queries. The last two compute the probabilities each for
// themselves, so that no sum crosses blocks.
//
//===----------------------------------------------------------------------===//

#include "compiler/Codegen/BlockOperands.h"
#include "compiler/Codegen/Nvidia/Emitters.h"
#include "compiler/Codegen/Nvidia/FlashAttention.h"
#include "compiler/Codegen/Nvidia/SharedMemory.h"

using namespace mlir;
using namespace qwen;
using namespace qwen::nvidia;
using arith::CmpIPredicate;

static constexpr int64_t kDeltaThreads = 128;

namespace {
struct GradShape {
  AttentionGradOp op;
  int64_t heads, groups, headDim, depth;
  double scale;
  Type element;

  explicit GradShape(AttentionGradOp op)
      : op(op), heads(dimOf(op.getQ(), 2)), groups(dimOf(op.getK(), 2)),
        headDim(dimOf(op.getQ(), 3)), depth(llvm::alignTo(headDim, 32)),
        scale(op.getScale().convertToDouble()),
        element(
            attentionElement({op.getQ(), op.getK(), op.getV(), op.getGrad()})) {
  }

  static TileShape scores() { return {kQueries, kKeys, 4, 2}; }
  TileShape gradient() const { return {kQueries, depth, 4, 2}; }
};

/// What the two kernels with tiles share.
class GradTile {
public:
  GradTile(const GradShape &g, KernelBuilder &b, Value batch)
      : g(g), b(b), batch(batch), queries(b, g.element, kQueries, g.depth),
        grads(b, g.element, kQueries, g.depth),
        keys(b, g.element, kKeys, g.depth),
        values(b, g.element, kKeys, g.depth), places(b, GradShape::scores()) {
    lse = operandPointer(b, AttentionGradOp(g.op).getLse());
    delta = b.workspace();
  }

  /// The first row of a head in a tensor [B, T, heads, ...].
  Value rowOf(int64_t heads, Value head) {
    return b.addI(b.mulI(b.mulI(batch, b.sequence()), heads), head);
  }
  GlobalMatrix matrix(Value tensor, Value head) {
    int64_t heads = dimOf(tensor, 2);
    Value pointer = b.pointerAt(operandPointer(b, tensor), elementOf(tensor),
                                b.mulI(rowOf(heads, head), g.headDim));
    return {pointer,           elementOf(tensor), heads * g.headDim,
            b.sequence(),      b.i64(g.headDim),  g.headDim,
            /*isAligned=*/true};
  }
  void copyQueries(Value head, Value first) {
    AttentionGradOp op = g.op;
    queries.copyFrom(b, matrix(op.getQ(), head), first, b.i64(0));
    grads.copyFrom(b, matrix(op.getGrad(), head), first, b.i64(0));
  }
  void copyKeys(Value group, Value first) {
    AttentionGradOp op = g.op;
    keys.copyFrom(b, matrix(op.getK(), group), first, b.i64(0));
    values.copyFrom(b, matrix(op.getV(), group), first, b.i64(0));
  }
  void arrive() {
    commitCopies(b);
    waitForCopies(b, 0);
    b.barrier();
  }

  /// The first key that a query sees; null: all.
  Value lowest(Value query);
  /// p and ds of the tiles that are in shared memory.
  std::pair<Sums, Sums> probabilities(Value head, Value firstQuery,
                                      Value firstKey);
  void storeGradient(Value result, Type element, int64_t heads, Value head,
                     Value first, ArrayRef<Value> sums);

  const GradShape &g;
  KernelBuilder &b;
  Value batch;
  SharedMatrix queries, grads, keys, values;

private:
  TilePlaces places;
  Value lse, delta;
};
} // namespace

Value GradTile::lowest(Value query) {
  AttentionGradOp op = g.op;
  Value low;
  if (op.getWindow())
    low = b.subI(query, b.i64(op.getWindow() - 1));
  if (Value starts = op.getStarts()) {
    Value last = b.subI(b.sequence(), b.i64(1));
    Value at = b.addI(b.mulI(batch, b.sequence()), b.minI(query, last));
    Value start =
        b.toI64(b.load(elementOf(starts), operandPointer(b, starts), at));
    low = low ? b.maxI(low, start) : start;
  }
  return low;
}

std::pair<Sums, Sums> GradTile::probabilities(Value head, Value firstQuery,
                                              Value firstKey) {
  TileShape shape = GradShape::scores();
  Sums p = multiply(b, shape, queries, Stored::ByRows, keys, Stored::ByRows,
                    g.depth, zeroSums(b, shape));
  Sums ds = multiply(b, shape, grads, Stored::ByRows, values, Stored::ByRows,
                     g.depth, zeroSums(b, shape));
  Value first = rowOf(g.heads, head), zero = b.f32(0);
  Value last = b.subI(b.sequence(), b.i64(1));
  for (int64_t half = 0; half < 2; ++half) {
    Value query = b.addI(firstQuery, places.row(0, half));
    Value place = b.addI(first, b.mulI(b.minI(query, last), g.heads));
    Value rowLse = b.load(b.f32(), lse, place);
    Value rowDelta = b.load(b.f32(), delta, place);
    Value exists = b.cmpI(CmpIPredicate::sle, query, last);
    Value low = lowest(query);
    for (int64_t i = 0; i < shape.sums(); ++i) {
      TileShape::Place at = shape.place(i);
      if (at.half != half)
        continue;
      Value key = b.addI(firstKey, places.column(at));
      Value visible = arith::AndIOp::create(
          b.b, b.loc, exists, b.cmpI(CmpIPredicate::sle, key, query));
      if (low)
        visible = arith::AndIOp::create(b.b, b.loc, visible,
                                        b.cmpI(CmpIPredicate::sge, key, low));
      Value weight = b.exp(b.sub(b.mul(p[i], b.f32(g.scale)), rowLse));
      p[i] = b.select(visible, weight, zero);
      ds[i] = b.select(
          visible, b.mul(b.mul(weight, b.sub(ds[i], rowDelta)), b.f32(g.scale)),
          zero);
    }
  }
  return {p, ds};
}

void GradTile::storeGradient(Value result, Type element, int64_t heads,
                             Value head, Value first, ArrayRef<Value> sums) {
  TileShape shape = g.gradient();
  TilePlaces to(b, shape);
  Value row = rowOf(heads, head);
  for (int64_t i = 0; i < shape.sums(); ++i) {
    TileShape::Place place = shape.place(i);
    Value item = b.addI(first, to.row(place)), column = to.column(place);
    Value inside = arith::AndIOp::create(
        b.b, b.loc, b.cmpI(CmpIPredicate::slt, item, b.sequence()),
        b.cmpI(CmpIPredicate::slt, column, b.i64(g.headDim)));
    b.ifThen(inside, [&] {
      Value offset =
          b.addI(b.mulI(b.addI(row, b.mulI(item, heads)), g.headDim), column);
      b.store(b.narrow(sums[i], element), result, offset);
    });
  }
}

/// delta[b, t, h] = grad . out, one warp each.
static Launch emitDelta(const GradShape &g, const NvidiaTarget &target,
                        gpu::GPUModuleOp module) {
  AttentionGradOp op = g.op;
  KernelBuilder b(op->getParentOfType<kernel::FuncOp>(), 0, target, module,
                  kDeltaThreads);
  Value item = b.addI(b.mulI(b.block(), kDeltaThreads / kWarp), b.warp());
  Value count = b.mulI(b.rows(), g.heads);
  b.ifThen(b.cmpI(CmpIPredicate::slt, item, count), [&] {
    Value at = b.mulI(item, g.headDim);
    auto value = [&](Value tensor, Value offset) {
      return b.widen(
          b.load(elementOf(tensor), operandPointer(b, tensor), offset));
    };
    Value sum =
        b.forLoop(b.lane(), b.i64(g.headDim), kWarp, ValueRange{b.f32(0)},
                  [&](Value d, ValueRange carried) -> SmallVector<Value> {
                    Value offset = b.addI(at, d);
                    return {b.fma(value(op.getGrad(), offset),
                                  value(op.getOut(), offset), carried[0])};
                  })[0];
    sum = b.combineGroup(sum, kWarp,
                         [&](Value x, Value y) { return b.add(x, y); });
    b.ifThen(b.cmpI(CmpIPredicate::eq, b.lane(), b.i64(0)),
             [&] { b.store(sum, b.workspace(), item); });
  });
  return b.launch(rowUnits(op.getContext(), g.heads, kDeltaThreads / kWarp));
}

static AffineMap tilesOf(MLIRContext *context) {
  return AffineMap::get(0, 3,
                        getAffineSymbolExpr(1, context).ceilDiv(kQueries));
}

/// Blocks: tiles of keys, groups, batch.
static Launch emitKeyGradients(const GradShape &g, const NvidiaTarget &target,
                               gpu::GPUModuleOp module) {
  AttentionGradOp op = g.op;
  TileShape gradient = g.gradient();
  KernelBuilder b(op->getParentOfType<kernel::FuncOp>(), 1, target, module,
                  gradient.threads());
  Value firstKey = b.mulI(b.block(0), kKeys), group = b.block(1);
  GradTile tile(g, b, b.block(2));
  ExactOperand p(b, g.element, kQueries, kKeys);
  ExactOperand ds(b, g.element, kQueries, kKeys);
  tile.copyKeys(group, firstKey);
  Sums start(2 * gradient.sums(), b.f32(0));
  int64_t perGroup = g.heads / g.groups;
  Value end = b.sequence();
  if (int64_t window = op.getWindow())
    end = b.minI(end, b.addI(firstKey, kKeys + window - 1));
  Sums sums = b.forLoop(
      b.i64(0), b.i64(perGroup), 1, start,
      [&](Value member, ValueRange outer) -> SmallVector<Value> {
        Value head = b.addI(b.mulI(group, perGroup), member);
        // Queries before the tile see none of its keys.
        return b.forLoop(
            firstKey, end, kQueries, outer,
            [&](Value query, ValueRange carried) -> SmallVector<Value> {
              tile.copyQueries(head, query);
              tile.arrive();
              auto [weights, slopes] =
                  tile.probabilities(head, query, firstKey);
              p.store(GradShape::scores(), weights);
              ds.store(GradShape::scores(), slopes);
              b.barrier();
              SmallVector<Value> all(carried);
              ArrayRef<Value> dk =
                  ArrayRef<Value>(all).take_front(gradient.sums());
              ArrayRef<Value> dv =
                  ArrayRef<Value>(all).take_back(gradient.sums());
              Sums next =
                  ds.multiply(gradient, Stored::Transposed, tile.queries,
                              Stored::Transposed, kQueries, dk);
              next.append(p.multiply(gradient, Stored::Transposed, tile.grads,
                                     Stored::Transposed, kQueries, dv));
              b.barrier();
              return next;
            });
      });
  ArrayRef<Value> all = sums;
  tile.storeGradient(resultPointer(b, op.getDk()), elementOf(op.getDk()),
                     g.groups, group, firstKey,
                     all.take_front(gradient.sums()));
  tile.storeGradient(resultPointer(b, op.getDv()), elementOf(op.getDv()),
                     g.groups, group, firstKey, all.take_back(gradient.sums()));
  MLIRContext *context = op.getContext();
  return b.launch(tilesOf(context), blocks(context, g.groups),
                  AffineMap::get(0, 3, getAffineSymbolExpr(0, context)));
}

/// Blocks: tiles of queries, heads, batch.
static Launch emitQueryGradient(const GradShape &g, const NvidiaTarget &target,
                                gpu::GPUModuleOp module) {
  AttentionGradOp op = g.op;
  TileShape gradient = g.gradient();
  KernelBuilder b(op->getParentOfType<kernel::FuncOp>(), 2, target, module,
                  gradient.threads());
  Value firstQuery = b.mulI(b.block(0), kQueries), head = b.block(1);
  Value group = b.divI(head, b.i64(g.heads / g.groups));
  GradTile tile(g, b, b.block(2));
  ExactOperand ds(b, g.element, kQueries, kKeys);
  tile.copyQueries(head, firstQuery);
  Value end = b.minI(b.addI(firstQuery, kQueries), b.sequence());
  Value begin = b.i64(0);
  if (Value low = tile.lowest(firstQuery))
    begin = b.mulI(b.divI(b.maxI(low, begin), b.i64(kKeys)), kKeys);
  Sums sums = b.forLoop(
      begin, end, kKeys, zeroSums(b, gradient),
      [&](Value key, ValueRange carried) -> SmallVector<Value> {
        tile.copyKeys(group, key);
        tile.arrive();
        Sums slopes = tile.probabilities(head, firstQuery, key).second;
        ds.store(GradShape::scores(), slopes);
        b.barrier();
        Sums next =
            ds.multiply(gradient, Stored::ByRows, tile.keys, Stored::Transposed,
                        kKeys, SmallVector<Value>(carried));
        b.barrier();
        return next;
      });
  tile.storeGradient(resultPointer(b, op.getDq()), elementOf(op.getDq()),
                     g.heads, head, firstQuery, sums);
  MLIRContext *context = op.getContext();
  return b.launch(tilesOf(context), blocks(context, g.heads),
                  AffineMap::get(0, 3, getAffineSymbolExpr(0, context)));
}

FailureOr<KernelCode> nvidia::emitAttentionGrad(kernel::FuncOp fn,
                                                const NvidiaTarget &target,
                                                gpu::GPUModuleOp module) {
  auto op = blockOp<AttentionGradOp>(fn);
  if (failed(verifyBlock(op)))
    return failure();
  GradShape g(op);
  KernelCode code = {emitDelta(g, target, module),
                     emitKeyGradients(g, target, module),
                     emitQueryGradient(g, target, module)};
  for (const Launch &launch : code)
    if (failed(verifyShared(op, launch)))
      return failure();
  return code;
}

int64_t nvidia::workspaceAttentionGrad(kernel::FuncOp fn, const NvidiaTarget &,
                                       int64_t maxRows) {
  return 4 * maxRows * dimOf(blockOp<AttentionGradOp>(fn).getQ(), 2);
}
