//===- KernelMath.cpp - Functions of f32 on GPUs --------------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// There is no mathematical library to call. Where results are rounded to 16
// bits, functions are the hardware's approximations, asked for by the flag
// `afn` on one op (ex2.approx, rcp.approx, div.approx, rsqrt.approx: relative
// errors near 2^-22); elsewhere they are the polynomials of all targets.
//
//===----------------------------------------------------------------------===//

#include "compiler/Codegen/Nvidia/KernelBuilder.h"

using namespace mlir;
using namespace qwen;
using namespace qwen::nvidia;
using arith::CmpFPredicate;

LLVM::FastmathFlagsAttr KernelBuilder::approximately() {
  return LLVM::FastmathFlagsAttr::get(b.getContext(), LLVM::FastmathFlags::afn);
}

Value KernelBuilder::maximum(Value lhs, Value rhs) {
  return arith::MaximumFOp::create(b, loc, lhs, rhs);
}

Value KernelBuilder::quotient(Value lhs, Value rhs) {
  if (!approximate)
    return ElementBuilder::quotient(lhs, rhs);
  return LLVM::FDivOp::create(b, loc, lhs, rhs, approximately());
}

Value KernelBuilder::exp(Value x) {
  if (!approximate)
    return ElementBuilder::exp(x);
  return LLVM::Exp2Op::create(b, loc, x.getType(),
                              mul(x, constantLike(x, 1.44269504088896341)),
                              approximately());
}

Value KernelBuilder::rsqrt(Value x) {
  if (!approximate)
    return ElementBuilder::rsqrt(x);
  Value root = LLVM::SqrtOp::create(b, loc, x.getType(), x, approximately());
  return div(constantLike(x, 1), root);
}

Value KernelBuilder::cos(Value x) { return sinQuarter(x, 1); }
Value KernelBuilder::sin(Value x) { return sinQuarter(x, 0); }

Value KernelBuilder::sinQuarter(Value x, int64_t quarter) {
  Type integers = typeLike(b.getI32Type(), x.getType());
  // x = n pi/2 + r with pi/2 in three parts; the first step is exact.
  Value n = LLVM::RoundEvenOp::create(
      b, loc, mul(x, constantLike(x, 0.636619772367581343)));
  Value r = fma(n, constantLike(x, -1.5707963705062866), x);
  r = fma(n, constantLike(x, 4.371138828673793e-08), r);
  r = fma(n, constantLike(x, 1.7151245100058819e-15), r);
  Value turn = arith::FPToSIOp::create(b, loc, integers, n);
  if (quarter)
    turn = arith::AddIOp::create(b, loc, turn, constant(integers, quarter));
  // (sin r - r) / r^3 and (cos r - 1 + r^2/2) / r^4 on |r| <= pi/4.
  Value z = mul(r, r);
  Value sine =
      polynomial(z, {-1.951087127e-04, 8.332131732e-03, -1.666665423e-01});
  sine = fma(mul(r, z), sine, r);
  Value cosine =
      polynomial(z, {2.443124096e-05, -1.388730635e-03, 4.166664566e-02});
  cosine =
      fma(mul(z, z), cosine, fma(z, constantLike(x, -0.5), constantLike(x, 1)));
  auto bit = [&](int32_t mask) {
    Value set = arith::AndIOp::create(b, loc, turn, constant(integers, mask));
    return cmpI(arith::CmpIPredicate::ne, set, constant(integers, 0));
  };
  Value value = select(bit(1), cosine, sine);
  return select(bit(2), neg(value), value);
}
