//===- Decompose.cpp - Decompositions of row-wise and linear ops ----------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Qwen/DecomposeBuilder.h"
#include "dialects/Qwen/QwenDialect.h"
#include "mlir/Dialect/Arith/IR/Arith.h"

#include <cmath>

using namespace mlir;
using namespace qwen;

using Values = SmallVector<Value>;
using Result = FailureOr<Values>;

//===----------------------------------------------------------------------===//
// Elementwise and shape ops
//===----------------------------------------------------------------------===//

Result AddOp::decompose(OpBuilder &b, ValueRange in) {
  DecomposeBuilder d(b, getLoc(), in);
  return Values{d.roundTo(d.add(d.widen(in[0]), d.widen(in[1])), getType())};
}

Result ZerosOp::decompose(OpBuilder &b, ValueRange in) {
  DecomposeBuilder d(b, getLoc(), in);
  auto type = cast<RankedTensorType>(getType());
  Value zero = arith::ConstantOp::create(
      b, getLoc(),
      b.getZeroAttr(RankedTensorType::get({}, type.getElementType())));
  return Values{d.broadcastTo(zero, type.getShape(), {})};
}

Result CastOp::decompose(OpBuilder &b, ValueRange in) {
  DecomposeBuilder d(b, getLoc(), in);
  return Values{d.roundTo(in[0], getType())};
}

Result PositionsOp::decompose(OpBuilder &b, ValueRange in) {
  DecomposeBuilder d(b, getLoc(), in);
  ArrayRef<int64_t> shape = cast<RankedTensorType>(getType()).getShape();
  Value positions = d.iota(shape, 1);
  if (getStart())
    positions = d.add(positions, d.broadcast(in.front(), positions, {0}));
  if (getStarts())
    positions = d.sub(positions, in.back());
  return Values{positions};
}

Result LastTokenOp::decompose(OpBuilder &b, ValueRange in) {
  DecomposeBuilder d(b, getLoc(), in);
  // A sum with a one-hot mask over the sequence.
  ArrayRef<int64_t> shape = d.type(in[0]).getShape();
  Value t = d.iota(shape.take_front(2), 1);
  Value last = d.add(in[1], d.intSplat(in[1], -1));
  Value mask = d.toFloat(d.eq(t, d.broadcast(last, t, {0})));
  Value picked = d.contract("bt,btc->bc", mask, d.widen(in[0]));
  picked = d.broadcastTo(picked, {shape[0], 1, shape[2]}, {0, 2});
  return Values{d.roundTo(picked, getType())};
}

//===----------------------------------------------------------------------===//
// Embedding, linear
//===----------------------------------------------------------------------===//

Result EmbeddingOp::decompose(OpBuilder &b, ValueRange in) {
  DecomposeBuilder d(b, getLoc(), in);
  SmallVector<int64_t> shape(d.type(in[0]).getShape());
  shape.push_back(d.lastDim(in[1]));
  auto type = RankedTensorType::get(shape, d.type(in[1]).getElementType());
  Value rows = kernel::GatherOp::create(b, getLoc(), type, in[1], in[0]);
  return Values{d.roundTo(rows, getType())};
}

Result EmbeddingGradOp::decompose(OpBuilder &b, ValueRange in) {
  DecomposeBuilder d(b, getLoc(), in);
  return Values{
      kernel::ScatterAddOp::create(b, getLoc(), d.widen(in[0]), in[2], in[1])};
}

Result LinearOp::decompose(OpBuilder &b, ValueRange in) {
  DecomposeBuilder d(b, getLoc(), in);
  std::string rows = d.rowLetters(in[0]);
  Value y = d.contract(rows + "k,nk->" + rows + "n", in[0], in[1]);
  if (in.size() > 2)
    y = d.add(y, d.alongColumns(d.widen(in[2]), y));
  return Values{d.roundTo(y, getType())};
}

Result QuantizedEmbeddingOp::decompose(OpBuilder &b, ValueRange in) {
  DecomposeBuilder d(b, getLoc(), in);
  SmallVector<int64_t> shape(d.type(in[0]).getShape());
  auto scaleType = RankedTensorType::get(shape, d.type(in[2]).getElementType());
  Value scale = kernel::GatherOp::create(b, getLoc(), scaleType, in[2], in[0]);
  shape.push_back(d.lastDim(in[1]));
  auto type = RankedTensorType::get(shape, d.type(in[1]).getElementType());
  Value rows =
      d.toFloat(kernel::GatherOp::create(b, getLoc(), type, in[1], in[0]));
  return Values{
      d.roundTo(d.mul(rows, d.alongRow(d.widen(scale), rows)), getType())};
}

Result QuantizedLinearOp::decompose(OpBuilder &b, ValueRange in) {
  DecomposeBuilder d(b, getLoc(), in);
  // Optional operands lie behind the others, so their place is counted.
  unsigned next = 3;
  Value x = in[0], steps = getSteps() ? in[next++] : Value();
  // Exact in bf16 too; the product then has operands of one type.
  Type element = d.type(x).getElementType();
  int64_t inputs = d.lastDim(x), outputs = d.type(in[1]).getDimSize(0);
  auto type = RankedTensorType::get({outputs, inputs}, element);
  Value weight =
      steps
          ? Value(kernel::UnpackInt4Op::create(b, getLoc(), type, in[1], steps))
          : Value(arith::SIToFPOp::create(b, getLoc(), type, in[1]));
  std::string rows = d.rowLetters(x);
  Value y = d.contract(rows + "k,nk->" + rows + "n", x, weight);
  y = d.mul(y, d.alongColumns(d.widen(in[2]), y));
  if (getBias())
    y = d.add(y, d.alongColumns(d.widen(in[next]), y));
  return Values{d.roundTo(y, getType())};
}

Result LinearInputGradOp::decompose(OpBuilder &b, ValueRange in) {
  DecomposeBuilder d(b, getLoc(), in);
  std::string rows = d.rowLetters(in[0]);
  return Values{d.roundTo(
      d.contract(rows + "k,kn->" + rows + "n", in[0], in[1]), getType())};
}

Result LinearWeightGradOp::decompose(OpBuilder &b, ValueRange in) {
  DecomposeBuilder d(b, getLoc(), in);
  std::string rows = d.rowLetters(in[0]);
  Value product = d.contract(rows + "n," + rows + "k->nk", in[0], in[1]);
  return Values{d.add(in[2], product)};
}

Result BiasGradOp::decompose(OpBuilder &b, ValueRange in) {
  DecomposeBuilder d(b, getLoc(), in);
  return Values{d.add(in[1], d.sumRows(d.widen(in[0])))};
}

//===----------------------------------------------------------------------===//
// Norms
//===----------------------------------------------------------------------===//

Result RmsNormOp::decompose(OpBuilder &b, ValueRange in) {
  DecomposeBuilder d(b, getLoc(), in);
  Value x = d.widen(in[0]);
  Value meanSquare = d.meanLast(d.mul(x, x));
  Value rstd = d.rsqrt(
      d.add(meanSquare, d.splat(meanSquare, getEps().convertToDouble())));
  Value y = d.mul(x, d.alongRow(rstd, x));
  if (in.size() > 1)
    y = d.mul(y, d.alongColumns(d.widen(in[1]), y));
  Values results{d.roundTo(y, getResult().getType())};
  if (getRstd())
    results.push_back(rstd);
  return results;
}

Result RmsNormInputGradOp::decompose(OpBuilder &b, ValueRange in) {
  DecomposeBuilder d(b, getLoc(), in);
  Value g = d.widen(in[0]), x = d.widen(in[1]), rstd = d.alongRow(in[2], x);
  if (in.size() > 3)
    g = d.mul(g, d.alongColumns(d.widen(in[3]), g));
  Value n = d.mul(x, rstd);
  Value mean = d.meanLast(d.mul(g, n));
  Value dx = d.mul(rstd, d.sub(g, d.mul(n, d.alongRow(mean, n))));
  return Values{d.roundTo(dx, getType())};
}

Result RmsNormWeightGradOp::decompose(OpBuilder &b, ValueRange in) {
  DecomposeBuilder d(b, getLoc(), in);
  Value g = d.widen(in[0]), x = d.widen(in[1]);
  Value product = d.mul(g, d.mul(x, d.alongRow(in[2], x)));
  return Values{d.add(in[3], d.sumRows(product))};
}

Result LayerNormOp::decompose(OpBuilder &b, ValueRange in) {
  DecomposeBuilder d(b, getLoc(), in);
  Value x = d.widen(in[0]);
  Value mean = d.meanLast(x);
  Value centred = d.sub(x, d.alongRow(mean, x));
  Value variance = d.meanLast(d.mul(centred, centred));
  Value rstd =
      d.rsqrt(d.add(variance, d.splat(variance, getEps().convertToDouble())));
  Value y = d.mul(centred, d.alongRow(rstd, x));
  y = d.mul(y, d.alongColumns(d.widen(in[1]), y));
  if (in.size() > 2)
    y = d.add(y, d.alongColumns(d.widen(in[2]), y));
  Values results{d.roundTo(y, getResult().getType())};
  if (!getSaved().empty())
    results.append({mean, rstd});
  return results;
}

Result LayerNormInputGradOp::decompose(OpBuilder &b, ValueRange in) {
  DecomposeBuilder d(b, getLoc(), in);
  Value g = d.widen(in[0]), x = d.widen(in[1]);
  Value rstd = d.alongRow(in[3], x);
  g = d.mul(g, d.alongColumns(d.widen(in[4]), g));
  Value n = d.mul(d.sub(x, d.alongRow(in[2], x)), rstd);
  Value meanG = d.meanLast(g), meanGN = d.meanLast(d.mul(g, n));
  Value dx =
      d.sub(d.sub(g, d.alongRow(meanG, g)), d.mul(n, d.alongRow(meanGN, n)));
  return Values{d.roundTo(d.mul(rstd, dx), getType())};
}

Result LayerNormWeightGradOp::decompose(OpBuilder &b, ValueRange in) {
  DecomposeBuilder d(b, getLoc(), in);
  Value g = d.widen(in[0]), x = d.widen(in[1]);
  Value n = d.mul(d.sub(x, d.alongRow(in[2], x)), d.alongRow(in[3], x));
  return Values{d.add(in[4], d.sumRows(d.mul(g, n)))};
}

//===----------------------------------------------------------------------===//
// Position
//===----------------------------------------------------------------------===//

Result RopeTableOp::decompose(OpBuilder &b, ValueRange in) {
  DecomposeBuilder d(b, getLoc(), {});
  SmallVector<int64_t> shape(d.type(in[0]).getShape());
  shape.push_back(getInvFreq().size());
  auto freqType = RankedTensorType::get({shape.back()}, b.getF32Type());
  Value freq = arith::ConstantOp::create(
      b, getLoc(), DenseElementsAttr::get(freqType, getInvFreq()));
  auto rows = llvm::to_vector(llvm::seq<int64_t>(0, shape.size() - 1));
  Value angle =
      d.mul(d.broadcastTo(d.toFloat(in[0]), shape, rows),
            d.broadcastTo(freq, shape, {static_cast<int64_t>(rows.size())}));
  Value factor = d.splat(angle, getFactor().convertToDouble());
  return Values{d.roundTo(d.mul(d.cos(angle), factor), getCos().getType()),
                d.roundTo(d.mul(d.sin(angle), factor), getSin().getType())};
}

Result RopeOp::decompose(OpBuilder &b, ValueRange in) {
  DecomposeBuilder d(b, getLoc(), in);
  Value x = d.widen(in[0]);
  int64_t half = d.lastDim(x) / 2, rank = d.rank(x);
  Value x1 = d.slice(x, 0, half), x2 = d.slice(x, half, half);
  // The table has no dimension of heads.
  auto dims = llvm::to_vector(llvm::seq<int64_t>(0, rank - 2));
  dims.push_back(rank - 1);
  Value cos = d.broadcast(d.widen(in[1]), x1, dims);
  Value sin = d.broadcast(d.widen(in[2]), x1, dims);
  if (getInverse())
    sin = d.neg(sin);
  Value y1 = d.sub(d.mul(x1, cos), d.mul(x2, sin));
  Value y2 = d.add(d.mul(x2, cos), d.mul(x1, sin));
  return Values{d.roundTo(d.concat(y1, y2), getType())};
}

//===----------------------------------------------------------------------===//
// Activations
//===----------------------------------------------------------------------===//

namespace {
/// f(x) and f'(x) of one activation.
struct Activation {
  Value value, derivative;
};
} // namespace

static Value sigmoid(DecomposeBuilder &d, Value x) {
  Value one = d.splat(x, 1);
  return d.div(one, d.add(one, d.exp(d.neg(x))));
}

static Activation silu(DecomposeBuilder &d, Value x, bool derivative) {
  Value s = sigmoid(d, x), one = d.splat(x, 1);
  Activation f{d.mul(x, s), nullptr};
  if (derivative)
    f.derivative = d.mul(s, d.add(one, d.mul(x, d.sub(one, s))));
  return f;
}

static Activation gelu(DecomposeBuilder &d, Value x, bool derivative) {
  Value scaled = d.mul(x, d.splat(x, std::sqrt(0.5)));
  Value phi = d.mul(d.splat(x, 0.5), d.add(d.splat(x, 1), d.erf(scaled)));
  Activation f{d.mul(x, phi), nullptr};
  if (derivative) {
    Value density = d.mul(d.exp(d.mul(d.splat(x, -0.5), d.mul(x, x))),
                          d.splat(x, 1 / std::sqrt(2 * M_PI)));
    f.derivative = d.add(phi, d.mul(x, density));
  }
  return f;
}

static Activation geluTanh(DecomposeBuilder &d, Value x, bool derivative) {
  const double root = std::sqrt(2 / M_PI), cubic = 0.044715;
  Value one = d.splat(x, 1), half = d.splat(x, 0.5), square = d.mul(x, x);
  Value inner = d.mul(d.mul(x, d.splat(x, root)),
                      d.add(one, d.mul(square, d.splat(x, cubic))));
  Value t = d.tanh(inner);
  Value phi = d.mul(half, d.add(one, t));
  Activation f{d.mul(x, phi), nullptr};
  if (derivative) {
    Value slope = d.mul(d.splat(x, root),
                        d.add(one, d.mul(square, d.splat(x, 3 * cubic))));
    Value dphi = d.mul(half, d.mul(d.sub(one, d.mul(t, t)), slope));
    f.derivative = d.add(phi, d.mul(x, dphi));
  }
  return f;
}

static Activation relu2(DecomposeBuilder &d, Value x, bool derivative) {
  Value zero = d.splat(x, 0);
  Value positive = d.select(d.gt(x, zero), x, zero);
  Activation f{d.mul(positive, positive), nullptr};
  if (derivative)
    f.derivative = d.add(positive, positive);
  return f;
}

static Activation activation(DecomposeBuilder &d, ActivationKind kind, Value x,
                             bool derivative = false) {
  switch (kind) {
  case ActivationKind::Silu:
    return silu(d, x, derivative);
  case ActivationKind::Gelu:
    return gelu(d, x, derivative);
  case ActivationKind::GeluTanh:
    return geluTanh(d, x, derivative);
  case ActivationKind::Relu2:
    return relu2(d, x, derivative);
  }
  llvm_unreachable("unknown activation");
}

Result ActivationOp::decompose(OpBuilder &b, ValueRange in) {
  DecomposeBuilder d(b, getLoc(), in);
  return Values{
      d.roundTo(activation(d, getKind(), d.widen(in[0])).value, getType())};
}

Result ActivationGradOp::decompose(OpBuilder &b, ValueRange in) {
  DecomposeBuilder d(b, getLoc(), in);
  Value slope = activation(d, getKind(), d.widen(in[1]), true).derivative;
  return Values{d.roundTo(d.mul(d.widen(in[0]), slope), getType())};
}

Result GluOp::decompose(OpBuilder &b, ValueRange in) {
  DecomposeBuilder d(b, getLoc(), in);
  Value gate = activation(d, getKind(), d.widen(in[0])).value;
  return Values{d.roundTo(d.mul(gate, d.widen(in[1])), getType())};
}

Result GluGradOp::decompose(OpBuilder &b, ValueRange in) {
  DecomposeBuilder d(b, getLoc(), in);
  Value g = d.widen(in[0]), up = d.widen(in[2]);
  Activation f = activation(d, getKind(), d.widen(in[1]), true);
  return Values{
      d.roundTo(d.mul(d.mul(g, up), f.derivative), getDgate().getType()),
      d.roundTo(d.mul(g, f.value), getDup().getType())};
}

Result SoftcapOp::decompose(OpBuilder &b, ValueRange in) {
  DecomposeBuilder d(b, getLoc(), in);
  double cap = getCap().convertToDouble();
  Value x = d.widen(in[0]);
  Value y = d.mul(d.splat(x, cap), d.tanh(d.mul(x, d.splat(x, 1 / cap))));
  return Values{d.roundTo(y, getType())};
}

Result SoftcapGradOp::decompose(OpBuilder &b, ValueRange in) {
  DecomposeBuilder d(b, getLoc(), in);
  Value x = d.widen(in[1]);
  Value t = d.tanh(d.mul(x, d.splat(x, 1 / getCap().convertToDouble())));
  Value slope = d.sub(d.splat(x, 1), d.mul(t, t));
  return Values{d.roundTo(d.mul(d.widen(in[0]), slope), getType())};
}
