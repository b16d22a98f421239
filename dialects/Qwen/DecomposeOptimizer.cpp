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
  return Values{d.add(in[1], d.sumAll(d.mul(x, x)))};
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
