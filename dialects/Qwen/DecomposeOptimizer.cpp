//===- DecomposeOptimizer.cpp - Decompositions of the optimizer's ops -----===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Qwen/DecomposeBuilder.h"
#include "dialects/Qwen/QwenDialect.h"

#include <limits>

using namespace mlir;
using namespace qwen;

using Values = SmallVector<Value>;
using Result = FailureOr<Values>;

Result SumSquaresOp::decompose(OpBuilder &b, ValueRange in) {
  DecomposeBuilder d(b, getLoc(), in);
  Value x = d.widen(in[0]);
  Value sum = d.sumAll(d.mul(x, x));
  return Values{in.size() > 1 ? d.add(in[1], sum) : sum};
}

Result ClipOp::decompose(OpBuilder &b, ValueRange in) {
  DecomposeBuilder d(b, getLoc(), in);
  Value zero = d.scalar(0), one = d.scalar(1);
  Value norm = d.sqrt(in[0]), clip = d.element(in[1], {0, 5});
  // norm < infinity is false for a NaN too.
  Value finite = d.lt(norm, d.scalar(std::numeric_limits<double>::infinity()));
  Value ratio = d.div(clip, d.add(norm, d.scalar(1e-6)));
  Value clips = d.logicalAnd(d.gt(clip, zero), d.lt(ratio, one));
  Value scale = d.select(clips, ratio, one);
  Value updates = d.logicalAnd(finite, d.eq(in[2], d.intSplat(in[2], 0)));
  scale = d.select(updates, scale, zero);
  Value nonfinite = d.sub(one, d.toFloat(finite));
  nonfinite = d.gt(nonfinite, zero);
  return Values{norm, d.toInt(nonfinite), scale};
}

Result AdamWOp::decompose(OpBuilder &b, ValueRange in) {
  DecomposeBuilder d(b, getLoc(), in);
  Value p = in[0], grad = in[1], m = in[2], v = in[3], scale = in[5];
  int64_t group = getGroup();
  auto hyper = [&](int64_t i) { return d.element(in[4], {group, i}); };
  auto all = [&](Value scalar) { return d.everywhere(scalar, p); };
  Value lr = hyper(0), beta1 = hyper(1), beta2 = hyper(2), eps = hyper(3);
  Value decay = hyper(4), c1 = hyper(6), c2 = hyper(7);
  Value one = d.scalar(1);

  Value g = d.mul(grad, all(scale));
  Value newM = d.add(m, d.mul(all(d.sub(one, beta1)), d.sub(g, m)));
  Value newV =
      d.add(d.mul(all(beta2), v), d.mul(all(d.sub(one, beta2)), d.mul(g, g)));
  Value shrunk = d.mul(p, all(d.sub(one, d.mul(lr, decay))));
  Value denominator = d.add(d.sqrt(d.div(newV, all(c2))), all(eps));
  Value step = d.div(d.mul(all(d.div(lr, c1)), newM), denominator);
  Value newP = d.sub(shrunk, step);

  Value updates = all(d.gt(scale, d.scalar(0)));
  return Values{d.select(updates, newP, p), d.splat(grad, 0),
                d.select(updates, newM, m), d.select(updates, newV, v)};
}

//===----------------------------------------------------------------------===//
// Muon: the whole and its parts are written once
//===----------------------------------------------------------------------===//

/// u, the empty gradient and the new momentum.
static Values muonMomentum(DecomposeBuilder &d, ValueRange in, int64_t group,
                           bool nesterov, Type like) {
  Value grad = in[0], m = in[1], scale = in[3];
  auto all = [&](Value scalar) { return d.everywhere(scalar, grad); };
  Value mu = d.element(in[2], {group, 1});
  Value g = d.mul(grad, all(scale));
  Value newM = d.add(m, d.mul(all(d.sub(d.scalar(1), mu)), d.sub(g, m)));
  Value u = nesterov ? d.add(g, d.mul(all(mu), d.sub(newM, g))) : newM;
  Value updates = all(d.gt(scale, d.scalar(0)));
  return {d.roundTo(u, like), d.splat(grad, 0), d.select(updates, newM, m)};
}

static Value muonNormalize(DecomposeBuilder &d, Value u, Value sumSquares,
                           Value hyper, int64_t group, Type like) {
  Value norm = d.add(d.sqrt(sumSquares), d.element(hyper, {group, 3}));
  return d.roundTo(d.div(d.widen(u), d.everywhere(norm, u)), like);
}

static Value matmul(DecomposeBuilder &d, MatmulForm form, Value lhs, Value rhs,
                    Value addend, double alpha, double beta, Type like) {
  StringRef spec = form == MatmulForm::NN   ? "mk,kn->mn"
                   : form == MatmulForm::NT ? "mk,nk->mn"
                                            : "mn,mk->nk";
  Value result = d.contract(spec, lhs, rhs);
  auto scaled = [&](Value value, double by) {
    return by == 1 ? value : d.mul(d.splat(value, by), value);
  };
  result = scaled(result, alpha);
  if (addend)
    result = d.add(scaled(d.widen(addend), beta), result);
  return d.roundTo(result, like);
}

static Value muonUpdate(DecomposeBuilder &d, Value p, Value x, Value hyper,
                        Value scale, int64_t group, double factor) {
  auto all = [&](Value scalar) { return d.everywhere(scalar, p); };
  Value lr = d.element(hyper, {group, 0}), decay = d.element(hyper, {group, 4});
  Value shrunk = d.mul(p, all(d.sub(d.scalar(1), d.mul(lr, decay))));
  Value step = d.mul(all(d.mul(lr, d.scalar(factor))), d.widen(x));
  Value updates = all(d.gt(scale, d.scalar(0)));
  return d.select(updates, d.sub(shrunk, step), p);
}

Result MuonOp::decompose(OpBuilder &b, ValueRange in) {
  DecomposeBuilder d(b, getLoc(), in);
  Value hyper = in[3], scale = in[4];
  // The f64 mode of tests rounds nothing.
  bool rounds = getBf16() && d.floatType().isF32();
  auto like = RankedTensorType::get({}, rounds ? Type(b.getBF16Type())
                                               : Type(d.floatType()));
  Values parts = muonMomentum(d, {in[1], in[2], hyper, scale}, getGroup(),
                              getNesterov(), like);
  Value u = d.widen(parts[0]);
  Value squares = d.sumAll(d.mul(u, u));
  Value x = muonNormalize(d, parts[0], squares, hyper, getGroup(), like);
  bool tall = d.type(x).getDimSize(0) > d.type(x).getDimSize(1);
  for (int64_t i = 0; i < static_cast<int64_t>(getSteps()); ++i) {
    Value a = matmul(d, tall ? MatmulForm::TN : MatmulForm::NT, x, x, Value(),
                     1, 1, like);
    Value poly = matmul(d, MatmulForm::NN, a, a, a, kMuonC, kMuonB, like);
    x = matmul(d, MatmulForm::NN, tall ? x : poly, tall ? poly : x, x, 1,
               kMuonA, like);
  }
  Value p = muonUpdate(d, in[0], x, hyper, scale, getGroup(),
                       getFactor().convertToDouble());
  return Values{p, parts[1], parts[2]};
}

Result MuonMomentumOp::decompose(OpBuilder &b, ValueRange in) {
  DecomposeBuilder d(b, getLoc(), in);
  return muonMomentum(d, in, getGroup(), getNesterov(), getU().getType());
}

Result MuonNormalizeOp::decompose(OpBuilder &b, ValueRange in) {
  DecomposeBuilder d(b, getLoc(), in);
  return Values{muonNormalize(d, in[0], in[1], in[2], getGroup(), getType())};
}

Result MatmulOp::decompose(OpBuilder &b, ValueRange in) {
  DecomposeBuilder d(b, getLoc(), in);
  return Values{matmul(
      d, getForm(), in[0], in[1], in.size() > 2 ? in[2] : Value(),
      getAlpha().convertToDouble(), getBeta().convertToDouble(), getType())};
}

Result MuonUpdateOp::decompose(OpBuilder &b, ValueRange in) {
  DecomposeBuilder d(b, getLoc(), in);
  return Values{muonUpdate(d, in[0], in[1], in[2], in[3], getGroup(),
                           getFactor().convertToDouble())};
}
