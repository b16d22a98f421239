//===- ElementMath.cpp - Functions of f32 and elementwise ops -------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The polynomials are weighted least-squares fits driven towards equal errors,
// made for the ranges named at each; their errors are below that of f32
// arithmetic. Clamps compare and select, so that a NaN passes through.
//
//===----------------------------------------------------------------------===//

#include "compiler/Codegen/ElementBuilder.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "llvm/ADT/TypeSwitch.h"

#include <cmath>
#include <limits>

using namespace mlir;
using namespace qwen;
using namespace qwen::codegen;
using arith::CmpFPredicate;

Value ElementBuilder::polynomial(Value x, ArrayRef<double> coefficients) {
  Value sum = constantLike(x, coefficients.front());
  for (double coefficient : coefficients.drop_front())
    sum = fma(sum, x, constantLike(x, coefficient));
  return sum;
}

/// 2^n for integers n in -126..127, as f32.
static Value powerOfTwo(ElementBuilder &k, Value n) {
  Type type = n.getType();
  Value biased = arith::AddIOp::create(k.b, k.loc, n, k.constant(type, 127));
  return k.bitcast(
      arith::ShLIOp::create(k.b, k.loc, biased, k.constant(type, 23)), k.f32());
}

Value ElementBuilder::exp(Value x) {
  // Beyond these the result is 0 and infinity.
  Value low = constantLike(x, -104), high = constantLike(x, 89);
  x = select(cmpF(CmpFPredicate::OLT, x, low), low, x);
  x = select(cmpF(CmpFPredicate::OGT, x, high), high, x);
  // x = n ln 2 + r with ln 2 in two parts, the first exact in few bits.
  Value n = LLVM::RoundEvenOp::create(
      b, loc, mul(x, constantLike(x, 1.44269504088896341)));
  Value r = fma(n, constantLike(x, -0.693359375), x);
  r = fma(n, constantLike(x, 2.12194440054690583e-4), r);
  // (e^r - 1 - r) / r^2 on |r| <= ln(2)/2.
  Value p = polynomial(r, {1.395297208e-03, 8.370321376e-03, 4.166616796e-02,
                           1.666650670e-01, 5.000000107e-01});
  p = fma(mul(r, r), p, add(r, constantLike(r, 1)));
  return scaleByPowerOfTwo(p, n);
}

Value ElementBuilder::scaleByPowerOfTwo(Value p, Value n) {
  // Two steps: 2^n alone may be out of range where the result is not.
  Type integers = typeLike(b.getI32Type(), p.getType());
  Value whole = arith::FPToSIOp::create(b, loc, integers, n);
  Value half = arith::ShRSIOp::create(b, loc, whole, constant(integers, 1));
  Value rest = arith::SubIOp::create(b, loc, whole, half);
  return mul(mul(p, powerOfTwo(*this, half)), powerOfTwo(*this, rest));
}

Value ElementBuilder::intrinsic(StringRef name, Type type,
                                ValueRange operands) {
  return LLVM::CallIntrinsicOp::create(b, loc, type, b.getStringAttr(name),
                                       operands)
      .getResult(0);
}

Value ElementBuilder::sigmoid(Value x) {
  Value one = constantLike(x, 1);
  Value sum = add(one, exp(neg(x)));
  return div(one, sum);
}

Value ElementBuilder::log(Value x) {
  const double infinity = std::numeric_limits<double>::infinity();
  Type integers = typeLike(b.getI32Type(), x.getType());
  // Subnormal numbers are scaled up first.
  Value tiny = cmpF(CmpFPredicate::OLT, x, constantLike(x, 0x1p-126));
  Value scaled = select(tiny, mul(x, constantLike(x, 0x1p23)), x);
  // x = 2^e m with m in [sqrt(1/2), sqrt(2)).
  Value bits = bitcast(scaled, b.getI32Type());
  Value shifted =
      arith::SubIOp::create(b, loc, bits, constant(integers, 0x3f3504f3));
  Value e = arith::ShRSIOp::create(b, loc, shifted, constant(integers, 23));
  Value m =
      bitcast(arith::SubIOp::create(
                  b, loc, bits,
                  arith::ShLIOp::create(b, loc, e, constant(integers, 23))),
              f32());
  Value exponent = arith::SIToFPOp::create(b, loc, x.getType(), e);
  exponent = select(tiny, sub(exponent, constantLike(x, 23)), exponent);
  // log m = 2 artanh(s), s = (m - 1) / (m + 1); (2 artanh(s) - 2 s) / s^3.
  Value f = sub(m, constantLike(x, 1));
  Value s = div(f, add(m, constantLike(x, 1)));
  Value z = mul(s, s);
  Value p = polynomial(z, {2.989879008e-01, 3.997660761e-01, 6.666678326e-01});
  // 2 s = f - s f, which keeps the bits of f.
  Value tail = fma(mul(s, z), p,
                   mul(exponent, constantLike(x, -2.12194440054690583e-4)));
  Value y = add(sub(f, sub(mul(s, f), tail)),
                mul(exponent, constantLike(x, 0.693359375)));
  y = select(cmpF(CmpFPredicate::OEQ, x, constantLike(x, infinity)), x, y);
  y = select(cmpF(CmpFPredicate::OEQ, x, constantLike(x, 0)),
             constantLike(x, -infinity), y);
  // Negative numbers and NaN.
  Value valid = cmpF(CmpFPredicate::OGE, x, constantLike(x, 0));
  return select(valid, y, constantLike(x, std::nan("")));
}

Value ElementBuilder::tanh(Value x) {
  Value size = abs(x);
  // (tanh x - x) / x^3 on |x| < 0.65.
  Value z = mul(x, x);
  Value p =
      polynomial(z, {2.064665126e-03, -8.091968323e-03, 2.166634693e-02,
                     -5.394056318e-02, 1.333315790e-01, -3.333332961e-01});
  Value near = fma(mul(x, z), p, x);
  Value one = constantLike(x, 1);
  Value far = sub(one, div(constantLike(x, 2), add(exp(add(size, size)), one)));
  far = LLVM::CopySignOp::create(b, loc, far, x);
  return select(cmpF(CmpFPredicate::OLT, size, constantLike(x, 0.625)), near,
                far);
}

Value ElementBuilder::erf(Value x) {
  Value size = abs(x);
  // erf(x) / x on |x| < 0.95.
  Value z = mul(x, x);
  Value near =
      mul(x, polynomial(z, {8.215426428e-05, -8.105965854e-04, 5.197797241e-03,
                            -2.685810432e-02, 1.128367255e-01, -3.761263229e-01,
                            1.128379166e+00}));
  // log(1 - erf(x)) on 0.85..4.05; erf is 1 in f32 beyond 4.
  Value four = constantLike(x, 4);
  Value clamped = select(cmpF(CmpFPredicate::OGT, size, four), four, size);
  Value q = polynomial(clamped,
                       {-1.337082508e-06, -3.102280084e-06, 3.308319658e-04,
                        -3.837325374e-03, 2.446191624e-02, -1.074682669e-01,
                        -6.339606673e-01, -1.129255000e+00, 1.274412672e-04});
  Value far = sub(constantLike(x, 1), exp(q));
  far = LLVM::CopySignOp::create(b, loc, far, x);
  return select(cmpF(CmpFPredicate::OLT, size, constantLike(x, 0.9)), near,
                far);
}

Value ElementBuilder::sqrt(Value x) { return LLVM::SqrtOp::create(b, loc, x); }
Value ElementBuilder::rsqrt(Value x) {
  return div(constantLike(x, 1), sqrt(x));
}
Value ElementBuilder::abs(Value x) { return LLVM::FAbsOp::create(b, loc, x); }
Value ElementBuilder::cos(Value x) { return LLVM::CosOp::create(b, loc, x); }
Value ElementBuilder::sin(Value x) { return LLVM::SinOp::create(b, loc, x); }

//===----------------------------------------------------------------------===//
// Elementwise ops
//===----------------------------------------------------------------------===//

Value ElementBuilder::splatConstant(arith::ConstantOp op) {
  auto elements = dyn_cast<DenseElementsAttr>(op.getValue());
  if (!elements || !elements.isSplat())
    return nullptr;
  return arith::ConstantOp::create(
      b, loc, cast<TypedAttr>(elements.getSplatValue<Attribute>()));
}

bool codegen::isElementwise(Operation *op) {
  return isa<arith::AddFOp, arith::SubFOp, arith::MulFOp, arith::DivFOp,
             arith::NegFOp, arith::MaximumFOp, arith::MinimumFOp,
             arith::MaxNumFOp, arith::MinNumFOp, arith::CmpFOp, arith::CmpIOp,
             arith::SelectOp, arith::ExtFOp, arith::TruncFOp, arith::SIToFPOp,
             arith::UIToFPOp, arith::FPToSIOp, arith::ExtUIOp, arith::ExtSIOp,
             arith::TruncIOp, arith::AddIOp, arith::SubIOp, arith::MulIOp,
             arith::AndIOp, arith::OrIOp, arith::XOrIOp, math::ExpOp,
             math::LogOp, math::SqrtOp, math::RsqrtOp, math::TanhOp,
             math::ErfOp, math::CosOp, math::SinOp, math::AbsFOp, math::FmaOp>(
      op);
}

Value ElementBuilder::elementwise(Operation *op, ValueRange in) {
  auto result = [&] {
    return typeLike(getElementTypeOrSelf(op->getResult(0).getType()),
                    in[0].getType());
  };
  auto minimum = [&](Value x, Value y) { return neg(maximum(neg(x), neg(y))); };
  return TypeSwitch<Operation *, Value>(op)
      .Case([&](arith::MaximumFOp) { return maximum(in[0], in[1]); })
      .Case([&](arith::MinimumFOp) { return minimum(in[0], in[1]); })
      .Case([&](arith::ExtFOp) { return widen(in[0]); })
      .Case([&](arith::TruncFOp) {
        return narrow(in[0], elementType(op->getResult(0)));
      })
      .Case([&](math::ExpOp) { return exp(in[0]); })
      .Case([&](math::LogOp) { return log(in[0]); })
      .Case([&](math::SqrtOp) { return sqrt(in[0]); })
      .Case([&](math::RsqrtOp) { return rsqrt(in[0]); })
      .Case([&](math::TanhOp) { return tanh(in[0]); })
      .Case([&](math::ErfOp) { return erf(in[0]); })
      .Case([&](math::CosOp) { return cos(in[0]); })
      .Case([&](math::SinOp) { return sin(in[0]); })
      .Case([&](math::AbsFOp) { return abs(in[0]); })
      .Case([&](math::FmaOp) { return fma(in[0], in[1], in[2]); })
      .Default([&](Operation *) -> Value {
        if (!isElementwise(op))
          return nullptr;
        // The same op on scalars or vectors. A select or comparison takes its
        // shape from its operands, the others from the result's element type.
        OperationState state(loc, op->getName(), in, {result()},
                             op->getAttrs());
        return b.create(state)->getResult(0);
      });
}
