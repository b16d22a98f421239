//===- DecomposeLoss.cpp - Decompositions of the losses -------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Qwen/DecomposeBuilder.h"
#include "dialects/Qwen/QwenDialect.h"

using namespace mlir;
using namespace qwen;

using Values = SmallVector<Value>;
using Result = FailureOr<Values>;

namespace {
/// What the loss and its gradient share. Shapes: [rows..., v] and [rows...].
struct CrossEntropy {
  Value valid;  // f: 1 where the target counts
  Value onehot; // f: 1 at the target
  Value softmax;
  Value lse; // f: log-sum-exp
  Value loss, count, correct;
};
} // namespace

static CrossEntropy crossEntropy(DecomposeBuilder &d, Value logits,
                                 Value targets, double zWeight) {
  CrossEntropy ce;
  Value valid = d.logicalAnd(
      d.ge(targets, d.intSplat(targets, 0)),
      d.lt(targets, d.intSplat(targets, DecomposeBuilder::lastDim(logits))));
  ce.valid = d.toFloat(valid);
  Value v = d.iota(d.type(logits).getShape(), d.rank(logits) - 1);
  ce.onehot = d.toFloat(d.eq(v, d.alongRow(targets, v)));
  Value max = d.maxLast(logits);
  Value e = d.exp(d.sub(logits, d.alongRow(max, logits)));
  Value sum = d.sumLast(e);
  ce.softmax = d.div(e, d.alongRow(sum, e));
  Value chosen = d.sumLast(d.mul(logits, ce.onehot));
  ce.lse = d.add(max, d.log(sum));
  Value losses = d.sub(ce.lse, chosen);
  if (zWeight != 0)
    losses =
        d.add(losses, d.mul(d.splat(losses, zWeight), d.mul(ce.lse, ce.lse)));
  ce.loss = d.sumAll(d.mul(ce.valid, losses));
  ce.count = d.sumAll(d.toInt(valid));
  // The target is the first largest: no earlier logit reaches it, no later one
  // exceeds it.
  Value target = d.alongRow(chosen, logits);
  Value earlier = d.lt(v, d.alongRow(targets, v));
  Value reaches = d.toFloat(d.logicalAnd(earlier, d.ge(logits, target)));
  Value exceeds = d.toFloat(d.gt(logits, target));
  Value better = d.sumLast(d.add(reaches, exceeds));
  Value first = d.logicalAnd(d.lt(better, d.splat(better, 0.5)), valid);
  ce.correct = d.sumAll(d.toInt(first));
  return ce;
}

/// seed (softmax (1 + 2 zWeight lse) - onehot), 0 for ignored targets.
static Value logitsGrad(DecomposeBuilder &d, const CrossEntropy &ce, Value seed,
                        double zWeight) {
  Value softmax = ce.softmax;
  if (zWeight != 0) {
    Value lse2 = d.mul(ce.lse, d.splat(ce.lse, 2 * zWeight));
    Value factor = d.add(lse2, d.splat(lse2, 1));
    softmax = d.mul(softmax, d.alongRow(factor, softmax));
  }
  Value dz = d.sub(softmax, ce.onehot);
  Value factor = d.mul(ce.valid, d.everywhere(seed, ce.valid));
  return d.mul(dz, d.alongRow(factor, dz));
}

/// x weight^T: [rows..., v].
static Value project(DecomposeBuilder &d, Value x, Value weight) {
  std::string rows = d.rowLetters(x);
  return d.contract(rows + "k,vk->" + rows + "v", x, weight);
}

/// cap tanh(z / cap), and its derivative 1 - tanh^2; z itself if cap is 0.
static Value softcap(DecomposeBuilder &d, Value z, double cap, Value *slope) {
  if (cap == 0)
    return z;
  Value t = d.tanh(d.mul(z, d.splat(z, 1 / cap)));
  if (slope)
    *slope = d.sub(d.splat(z, 1), d.mul(t, t));
  return d.mul(t, d.splat(z, cap));
}

Result CrossEntropyOp::decompose(OpBuilder &b, ValueRange in) {
  DecomposeBuilder d(b, getLoc(), in);
  CrossEntropy ce =
      crossEntropy(d, d.widen(in[0]), in[1], getZWeight().convertToDouble());
  return Values{ce.loss, ce.count, ce.correct};
}

Result CrossEntropyGradOp::decompose(OpBuilder &b, ValueRange in) {
  DecomposeBuilder d(b, getLoc(), in);
  double zWeight = getZWeight().convertToDouble();
  CrossEntropy ce = crossEntropy(d, d.widen(in[0]), in[1], zWeight);
  return Values{d.roundTo(logitsGrad(d, ce, in[2], zWeight), getType())};
}

Result LinearCrossEntropyOp::decompose(OpBuilder &b, ValueRange in) {
  DecomposeBuilder d(b, getLoc(), in);
  Value logits = project(d, in[0], in[1]);
  logits = softcap(d, logits, getCap().convertToDouble(), nullptr);
  CrossEntropy ce =
      crossEntropy(d, logits, in[2], getZWeight().convertToDouble());
  return Values{ce.loss, ce.count, ce.correct};
}

Result LinearCrossEntropyGradOp::decompose(OpBuilder &b, ValueRange in) {
  DecomposeBuilder d(b, getLoc(), in);
  Value logits = project(d, in[0], in[1]);
  Value slope;
  logits = softcap(d, logits, getCap().convertToDouble(), &slope);
  double zWeight = getZWeight().convertToDouble();
  CrossEntropy ce = crossEntropy(d, logits, in[2], zWeight);
  Value dz = logitsGrad(d, ce, in[3], zWeight);
  if (slope)
    dz = d.mul(dz, slope);
  dz = d.roundTo(dz, in[0].getType());
  std::string rows = d.rowLetters(dz);
  Value dx = d.contract(rows + "v,vk->" + rows + "k", dz, in[1]);
  dx = d.roundTo(dx, getDx().getType());
  Value dw = d.add(in[4], d.contract(rows + "v," + rows + "k->vk", dz, in[0]));
  return Values{ce.loss, dx, dw};
}
