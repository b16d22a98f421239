//===- DecomposeParts.cpp - What the parts of block ops mean
//---------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Dist/DistDialect.h"
#include "dialects/Qwen/DecomposeBuilder.h"
#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;
using namespace qwen;
using namespace qwen::dist;

using Values = SmallVector<Value>;
using Result = FailureOr<Values>;

/// The column's number everywhere in the shape of `like`, i32.
static Value columns(DecomposeBuilder &d, Value like) {
  return d.alongColumns(d.iota({DecomposeBuilder::lastDim(like)}, 0), like);
}

/// A whole number in f32 to i32.
static Value floatToInt(DecomposeBuilder &d, Value value) {
  auto type = DecomposeBuilder::withElement(value, d.b.getI32Type());
  return arith::FPToSIOp::create(d.b, d.loc, type, value);
}

/// i1: the targets that count.
static Value isValid(DecomposeBuilder &d, Value targets, int64_t vocab) {
  return d.logicalAnd(d.ge(targets, d.intSplat(targets, 0)),
                      d.lt(targets, d.intSplat(targets, vocab)));
}

Result BiasAddOp::decompose(OpBuilder &b, ValueRange in) {
  DecomposeBuilder d(b, getLoc(), in);
  Value x = d.widen(in[0]);
  Value sum = d.add(x, d.alongColumns(d.widen(in[1]), x));
  return Values{d.roundTo(sum, getType())};
}

Result AccumulateOp::decompose(OpBuilder &b, ValueRange in) {
  DecomposeBuilder d(b, getLoc(), in);
  return Values{d.add(in[1], d.widen(in[0]))};
}

Result RowMaxOp::decompose(OpBuilder &b, ValueRange in) {
  DecomposeBuilder d(b, getLoc(), in);
  return Values{d.maxLast(d.widen(in[0]))};
}

Result RowSumExpOp::decompose(OpBuilder &b, ValueRange in) {
  DecomposeBuilder d(b, getLoc(), in);
  Value z = d.widen(in[0]);
  return Values{d.sumLast(d.exp(d.sub(z, d.alongRow(in[1], z))))};
}

Result TargetLogitOp::decompose(OpBuilder &b, ValueRange in) {
  DecomposeBuilder d(b, getLoc(), in);
  Value z = d.widen(in[0]), v = columns(d, z);
  Value chosen = d.select(d.eq(v, d.alongRow(in[1], v)), z, d.splat(z, 0));
  return Values{d.sumLast(chosen)};
}

Result BetterLogitsOp::decompose(OpBuilder &b, ValueRange in) {
  DecomposeBuilder d(b, getLoc(), in);
  Value z = d.widen(in[0]), v = columns(d, z), target = d.alongRow(in[1], z);
  Value earlier = d.lt(v, d.alongRow(in[2], v));
  Value reaches = d.toFloat(d.logicalAnd(earlier, d.ge(z, target)));
  Value exceeds = d.toFloat(d.gt(z, target));
  // An earlier one that exceeds is counted twice; what matters is 0 or not.
  return Values{d.sumLast(d.add(reaches, exceeds))};
}

Result TokenLossOp::decompose(OpBuilder &b, ValueRange in) {
  DecomposeBuilder d(b, getLoc(), in);
  Value lse = d.add(in[0], d.log(in[1]));
  Value loss = d.sub(lse, in[2]);
  double weight = getZWeight().convertToDouble();
  if (weight != 0)
    loss = d.add(loss, d.mul(d.splat(lse, weight), d.mul(lse, lse)));
  Value valid = isValid(d, in[3], getVocab());
  return Values{d.sumAll(d.select(valid, loss, d.splat(loss, 0)))};
}

Result TokenCountsOp::decompose(OpBuilder &b, ValueRange in) {
  DecomposeBuilder d(b, getLoc(), in);
  Value valid = isValid(d, in[1], getVocab());
  Value first = d.logicalAnd(d.lt(in[0], d.splat(in[0], 0.5)), valid);
  return Values{floatToInt(d, d.sumAll(d.toFloat(valid))),
                floatToInt(d, d.sumAll(d.toFloat(first)))};
}

Result TokenWeightsOp::decompose(OpBuilder &b, ValueRange in) {
  DecomposeBuilder d(b, getLoc(), in);
  Value valid = d.toFloat(isValid(d, in[0], getVocab()));
  return Values{d.mul(valid, d.everywhere(in[1], valid))};
}

Result TokenLossGradOp::decompose(OpBuilder &b, ValueRange in) {
  DecomposeBuilder d(b, getLoc(), in);
  Value z = d.widen(in[0]), v = columns(d, z);
  Value p = d.div(d.exp(d.sub(z, d.alongRow(in[2], z))), d.alongRow(in[3], z));
  double weight = getZWeight().convertToDouble();
  if (weight != 0) {
    Value lse = d.add(in[2], d.log(in[3]));
    Value slope = d.add(d.splat(lse, 1), d.mul(d.splat(lse, 2 * weight), lse));
    p = d.mul(p, d.alongRow(slope, z));
  }
  Value onehot = d.toFloat(d.eq(v, d.alongRow(in[1], v)));
  Value dz = d.mul(d.sub(p, onehot), d.alongRow(in[4], z));
  return Values{d.roundTo(dz, getType())};
}

/// 0 everywhere in `type`.
static Result zeros(OpBuilder &b, Location loc, Type type) {
  auto tensor = cast<RankedTensorType>(type);
  auto zero =
      DenseElementsAttr::get(tensor, b.getZeroAttr(tensor.getElementType()));
  return Values{arith::ConstantOp::create(b, loc, tensor, zero)};
}

Result ClearOp::decompose(OpBuilder &b, ValueRange in) {
  return zeros(b, getLoc(), getType());
}

Result StartOp::decompose(OpBuilder &b, ValueRange in) {
  return zeros(b, getLoc(), getType());
}

Result dist::SumSquaresOp::decompose(OpBuilder &b, ValueRange in) {
  DecomposeBuilder d(b, getLoc(), in);
  Value x = d.widen(in[0]), sum = d.sumAll(d.mul(x, x));
  return Values{d.add(in[1], d.div(sum, d.scalar(getCopies())))};
}

//===----------------------------------------------------------------------===//
// Costs: operations for each element
//===----------------------------------------------------------------------===//

static int64_t elements(Value value) {
  return cast<RankedTensorType>(value.getType()).getNumElements();
}

#define DIST_FLOPS_PER_ELEMENT(OP, VALUE, COUNT)                               \
  int64_t OP::getFlops() { return (COUNT) * elements(VALUE); }
DIST_FLOPS_PER_ELEMENT(BiasAddOp, getX(), 1)
DIST_FLOPS_PER_ELEMENT(AccumulateOp, getX(), 1)
DIST_FLOPS_PER_ELEMENT(ClearOp, getResult(), 0)
DIST_FLOPS_PER_ELEMENT(StartOp, getResult(), 0)
DIST_FLOPS_PER_ELEMENT(RowMaxOp, getLogits(), 1)
DIST_FLOPS_PER_ELEMENT(RowSumExpOp, getLogits(), 10)
DIST_FLOPS_PER_ELEMENT(TargetLogitOp, getLogits(), 2)
DIST_FLOPS_PER_ELEMENT(BetterLogitsOp, getLogits(), 5)
DIST_FLOPS_PER_ELEMENT(TokenLossOp, getMax(), 12)
DIST_FLOPS_PER_ELEMENT(TokenCountsOp, getBetter(), 4)
DIST_FLOPS_PER_ELEMENT(TokenWeightsOp, getTargets(), 3)
DIST_FLOPS_PER_ELEMENT(TokenLossGradOp, getLogits(), 13)
DIST_FLOPS_PER_ELEMENT(dist::SumSquaresOp, getX(), 2)
#undef DIST_FLOPS_PER_ELEMENT
