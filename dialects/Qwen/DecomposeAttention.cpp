//===- DecomposeAttention.cpp - Decompositions of attention and its cache -===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Letters: b batch, t query position, s key position, h query head, g key/value
// head, d head dimension. Heads are matched by a one-hot matrix [H, G], which
// keeps the decomposition within the elementary ops.
//
//===----------------------------------------------------------------------===//

#include "dialects/Qwen/DecomposeBuilder.h"
#include "dialects/Qwen/QwenDialect.h"
#include "mlir/Dialect/Arith/IR/Arith.h"

#include <limits>

using namespace mlir;
using namespace qwen;

using Values = SmallVector<Value>;
using Result = FailureOr<Values>;

static int64_t dim(Value value, int i) {
  return DecomposeBuilder::type(value).getDimSize(i);
}

/// one[h, g] = 1 if query head h reads key/value head g.
static Value headMatch(DecomposeBuilder &d, int64_t heads, int64_t kvHeads) {
  SmallVector<double> ones(heads * kvHeads, 0.0);
  for (int64_t h = 0; h < heads; ++h)
    ones[h * kvHeads + h / (heads / kvHeads)] = 1.0;
  SmallVector<Attribute> values;
  for (double one : ones)
    values.push_back(FloatAttr::get(d.floatType(), one));
  auto type = RankedTensorType::get({heads, kvHeads}, d.floatType());
  return arith::ConstantOp::create(d.b, d.loc,
                                   DenseElementsAttr::get(type, values));
}

/// Repeats key/value heads: [b, s, g, d] -> [b, s, h, d].
static Value repeatHeads(DecomposeBuilder &d, Value x, int64_t heads) {
  return d.contract("bsgd,hg->bshd", d.widen(x),
                    headMatch(d, heads, dim(x, 2)));
}

/// Which keys a query sees: those up to `last` [b, t], of them the last
/// `window` (0: all), from `first` [b, t] on (null: all).
struct Visible {
  Value last, first;
  int64_t window;
};

/// scale q . k where visible [b, h, t, s], else -infinity.
static Value maskedScores(DecomposeBuilder &d, Value q, Value k,
                          const Visible &visible, double scale) {
  Value scores = d.contract("bthd,bshd->bhts", q, k);
  scores = d.mul(scores, d.splat(scores, scale));
  Value s = d.iota(d.type(scores).getShape(), 3);
  Value lowest = d.splat(scores, -std::numeric_limits<double>::infinity());
  Value last = d.broadcast(visible.last, s, {0, 2});
  scores = d.select(d.gt(s, last), lowest, scores);
  if (visible.window) {
    Value past = d.add(s, d.intSplat(s, static_cast<int32_t>(visible.window)));
    scores = d.select(d.gt(past, last), scores, lowest);
  }
  if (visible.first) {
    Value first = d.broadcast(visible.first, s, {0, 2});
    scores = d.select(d.lt(s, first), lowest, scores);
  }
  return scores;
}

/// softmax over s, and its log-sum-exp [b, h, t].
static std::pair<Value, Value> softmax(DecomposeBuilder &d, Value scores) {
  Value max = d.maxLast(scores);
  Value e = d.exp(d.sub(scores, d.alongRow(max, scores)));
  Value sum = d.sumLast(e);
  return {d.div(e, d.alongRow(sum, e)), d.add(max, d.log(sum))};
}

/// [b, x, y] -> [b, y, x], by a sum over nothing.
static Value swapLast(DecomposeBuilder &d, Value x) {
  Value one = d.scalar(1);
  return d.contract("bht,->bth", x, one);
}

static Value causal(DecomposeBuilder &d, Value q) {
  return d.iota({dim(q, 0), dim(q, 1)}, 1);
}

Result DocumentStartsOp::decompose(OpBuilder &b, ValueRange in) {
  DecomposeBuilder d(b, getLoc(), {});
  int64_t batch = dim(in[0], 0), sequence = dim(in[0], 1);
  SmallVector<int64_t> pairs = {batch, sequence, sequence};
  // changes[b, t] = 1 where token t has another id than the one before.
  Value t = d.iota(pairs, 1), u = d.iota(pairs, 2);
  Value isBefore = d.eq(t, d.add(u, d.intSplat(u, 1)));
  Value id = d.broadcast(in[0], t, {0, 1}),
        other = d.broadcast(in[0], t, {0, 2});
  Value differs = d.sub(d.splat(d.toFloat(t), 1), d.toFloat(d.eq(id, other)));
  Value changes = d.sumLast(d.mul(d.toFloat(isBefore), differs));
  // run[b, t] counts the changes up to t; the tokens of earlier runs are those
  // before the document's first.
  Value upTo = d.toFloat(d.ge(t, u));
  Value run = d.sumLast(d.mul(upTo, d.broadcast(changes, upTo, {0, 2})));
  Value earlier =
      d.lt(d.broadcast(run, upTo, {0, 2}), d.broadcast(run, upTo, {0, 1}));
  return Values{d.sum(d.toInt(earlier), {2})};
}

Result AttentionOp::decompose(OpBuilder &b, ValueRange in) {
  DecomposeBuilder d(b, getLoc(), in);
  int64_t heads = dim(in[0], 2);
  Value q = d.widen(in[0]), k = repeatHeads(d, in[1], heads);
  Value v = repeatHeads(d, in[2], heads);
  Visible visible = {causal(d, q), getStarts() ? in[3] : Value(),
                     static_cast<int64_t>(getWindow())};
  Value scores = maskedScores(d, q, k, visible, getScale().convertToDouble());
  auto [p, lse] = softmax(d, scores);
  Values results{
      d.roundTo(d.contract("bhts,bshd->bthd", p, v), getResult().getType())};
  if (getLse())
    results.push_back(swapLast(d, lse));
  return results;
}

Result AttentionGradOp::decompose(OpBuilder &b, ValueRange in) {
  DecomposeBuilder d(b, getLoc(), in);
  int64_t heads = dim(in[1], 2), kvHeads = dim(in[2], 2);
  double scale = getScale().convertToDouble();
  Value grad = d.widen(in[0]), q = d.widen(in[1]);
  Value k = repeatHeads(d, in[2], heads), v = repeatHeads(d, in[3], heads);
  Value out = d.widen(in[4]), lse = in[5];

  Visible visible = {causal(d, q), getStarts() ? in[6] : Value(),
                     static_cast<int64_t>(getWindow())};
  Value scores = maskedScores(d, q, k, visible, scale);
  Value p = d.exp(d.sub(
      scores, d.alongRow(d.contract("bth,->bht", lse, d.scalar(1)), scores)));
  Value dp = d.contract("bthd,bshd->bhts", grad, v);
  Value delta = d.contract("bthd,bthd->bht", grad, out);
  Value ds = d.mul(p, d.sub(dp, d.alongRow(delta, dp)));
  ds = d.mul(ds, d.splat(ds, scale));
  Value match = headMatch(d, heads, kvHeads);
  Value dq = d.contract("bhts,bshd->bthd", ds, k);
  Value dk =
      d.contract("bshd,hg->bsgd", d.contract("bhts,bthd->bshd", ds, q), match);
  Value dv = d.contract("bshd,hg->bsgd", d.contract("bhts,bthd->bshd", p, grad),
                        match);
  return Values{d.roundTo(dq, getDq().getType()),
                d.roundTo(dk, getDk().getType()),
                d.roundTo(dv, getDv().getType())};
}

Result KvAppendOp::decompose(OpBuilder &b, ValueRange in) {
  DecomposeBuilder d(b, getLoc(), in);
  // put[b, t, s] = 1 where cache position s takes token t.
  int64_t batch = dim(in[0], 0), sequence = dim(in[0], 1), size = dim(in[2], 2);
  Value t = d.iota({batch, sequence, size}, 1),
        s = d.iota({batch, sequence, size}, 2);
  Value put = d.toFloat(d.eq(s, d.add(t, d.broadcast(in[1], t, {0}))));
  Value written = d.contract("bts,btgd->bgsd", put, d.widen(in[0]));
  Value taken = d.broadcast(d.sum(put, {1}), written, {0, 2});
  Value keep = d.widen(in[2]);
  Value result = d.select(d.gt(taken, d.splat(taken, 0)), written, keep);
  return Values{d.roundTo(result, getType())};
}

Result CachedAttentionOp::decompose(OpBuilder &b, ValueRange in) {
  DecomposeBuilder d(b, getLoc(), in);
  int64_t heads = dim(in[0], 2);
  auto repeat = [&](Value cache) {
    return d.contract("bgsd,hg->bshd", d.widen(cache),
                      headMatch(d, heads, dim(cache, 1)));
  };
  Value q = d.widen(in[0]), k = repeat(in[1]), v = repeat(in[2]);
  Value position = causal(d, q);
  position = d.add(position, d.broadcast(in[3], position, {0}));
  Value end = d.intSplat(position, static_cast<int32_t>(dim(k, 1) - 1));
  position = d.select(d.gt(position, end), end, position);
  Visible visible = {position, Value(), static_cast<int64_t>(getWindow())};
  Value scores = maskedScores(d, q, k, visible, getScale().convertToDouble());
  Value p = softmax(d, scores).first;
  return Values{d.roundTo(d.contract("bhts,bshd->bthd", p, v), getType())};
}
