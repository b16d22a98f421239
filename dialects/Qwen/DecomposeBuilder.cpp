//===- DecomposeBuilder.cpp - Shorthand for writing decompositions --------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "dialects/Qwen/DecomposeBuilder.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace qwen;

DecomposeBuilder::DecomposeBuilder(OpBuilder &builder, Location loc,
                                   ValueRange operands)
    : b(builder), loc(loc), compute(builder.getF32Type()) {
  for (Value operand : operands)
    if (type(operand).getElementType().isF64())
      compute = builder.getF64Type();
}

RankedTensorType DecomposeBuilder::withElement(Value like, Type element) {
  return RankedTensorType::get(type(like).getShape(), element);
}

Value DecomposeBuilder::widen(Value value) {
  if (type(value).getElementType() == compute)
    return value;
  return arith::ExtFOp::create(b, loc, withElement(value, compute), value);
}

Value DecomposeBuilder::roundTo(Value value, Type like) {
  Type element = cast<RankedTensorType>(like).getElementType();
  Type from = type(value).getElementType();
  if (from == element)
    return value;
  if (from.getIntOrFloatBitWidth() < element.getIntOrFloatBitWidth())
    return arith::ExtFOp::create(b, loc, withElement(value, element), value);
  return arith::TruncFOp::create(b, loc, withElement(value, element), value);
}

Value DecomposeBuilder::add(Value lhs, Value rhs) {
  if (type(lhs).getElementType().isInteger())
    return arith::AddIOp::create(b, loc, lhs, rhs);
  return arith::AddFOp::create(b, loc, lhs, rhs);
}
Value DecomposeBuilder::sub(Value lhs, Value rhs) {
  if (type(lhs).getElementType().isInteger())
    return arith::SubIOp::create(b, loc, lhs, rhs);
  return arith::SubFOp::create(b, loc, lhs, rhs);
}
Value DecomposeBuilder::mul(Value lhs, Value rhs) {
  return arith::MulFOp::create(b, loc, lhs, rhs);
}
Value DecomposeBuilder::div(Value lhs, Value rhs) {
  return arith::DivFOp::create(b, loc, lhs, rhs);
}
Value DecomposeBuilder::neg(Value value) {
  return arith::NegFOp::create(b, loc, value);
}
Value DecomposeBuilder::exp(Value value) {
  return math::ExpOp::create(b, loc, value);
}
Value DecomposeBuilder::log(Value value) {
  return math::LogOp::create(b, loc, value);
}
Value DecomposeBuilder::sqrt(Value value) {
  return math::SqrtOp::create(b, loc, value);
}
Value DecomposeBuilder::rsqrt(Value value) {
  return math::RsqrtOp::create(b, loc, value);
}
Value DecomposeBuilder::tanh(Value value) {
  return math::TanhOp::create(b, loc, value);
}
Value DecomposeBuilder::erf(Value value) {
  return math::ErfOp::create(b, loc, value);
}
Value DecomposeBuilder::cos(Value value) {
  return math::CosOp::create(b, loc, value);
}
Value DecomposeBuilder::sin(Value value) {
  return math::SinOp::create(b, loc, value);
}

Value DecomposeBuilder::max(Value lhs, Value rhs) {
  return arith::MaximumFOp::create(b, loc, lhs, rhs);
}

Value DecomposeBuilder::select(Value condition, Value lhs, Value rhs) {
  return arith::SelectOp::create(b, loc, condition, lhs, rhs);
}

static Value compare(DecomposeBuilder &d, arith::CmpFPredicate onFloats,
                     arith::CmpIPredicate onIntegers, Value lhs, Value rhs) {
  if (d.type(lhs).getElementType().isInteger())
    return arith::CmpIOp::create(d.b, d.loc, onIntegers, lhs, rhs);
  return arith::CmpFOp::create(d.b, d.loc, onFloats, lhs, rhs);
}

Value DecomposeBuilder::gt(Value lhs, Value rhs) {
  return compare(*this, arith::CmpFPredicate::OGT, arith::CmpIPredicate::sgt,
                 lhs, rhs);
}
Value DecomposeBuilder::lt(Value lhs, Value rhs) {
  return compare(*this, arith::CmpFPredicate::OLT, arith::CmpIPredicate::slt,
                 lhs, rhs);
}
Value DecomposeBuilder::eq(Value lhs, Value rhs) {
  return compare(*this, arith::CmpFPredicate::OEQ, arith::CmpIPredicate::eq,
                 lhs, rhs);
}
Value DecomposeBuilder::ge(Value lhs, Value rhs) {
  return compare(*this, arith::CmpFPredicate::OGE, arith::CmpIPredicate::sge,
                 lhs, rhs);
}

Value DecomposeBuilder::toFloat(Value integer) {
  RankedTensorType to = withElement(integer, compute);
  if (type(integer).getElementType().isInteger(1))
    return arith::UIToFPOp::create(b, loc, to, integer);
  return arith::SIToFPOp::create(b, loc, to, integer);
}

Value DecomposeBuilder::toInt(Value boolean) {
  return arith::ExtUIOp::create(b, loc, withElement(boolean, b.getI32Type()),
                                boolean);
}

Value DecomposeBuilder::logicalAnd(Value lhs, Value rhs) {
  return arith::AndIOp::create(b, loc, lhs, rhs);
}

Value DecomposeBuilder::scalar(double value) {
  auto scalarType = RankedTensorType::get({}, compute);
  APFloat number(value);
  bool losesInfo;
  number.convert(compute.getFloatSemantics(), APFloat::rmNearestTiesToEven,
                 &losesInfo);
  return arith::ConstantOp::create(b, loc,
                                   DenseElementsAttr::get(scalarType, number));
}

Value DecomposeBuilder::splat(Value like, double value) {
  return everywhere(scalar(value), like);
}

Value DecomposeBuilder::intSplat(Value like, int32_t value) {
  auto scalarType = RankedTensorType::get({}, b.getI32Type());
  Value constant = arith::ConstantOp::create(
      b, loc,
      DenseElementsAttr::get(scalarType,
                             b.getI32IntegerAttr(value).getValue()));
  return everywhere(constant, like);
}

Value DecomposeBuilder::broadcastTo(Value value, ArrayRef<int64_t> shape,
                                    ArrayRef<int64_t> dims) {
  auto to = RankedTensorType::get(shape, type(value).getElementType());
  if (to == value.getType())
    return value;
  return kernel::BroadcastOp::create(b, loc, to, value, dims);
}

Value DecomposeBuilder::broadcast(Value value, Value like,
                                  ArrayRef<int64_t> dims) {
  return broadcastTo(value, type(like).getShape(), dims);
}

Value DecomposeBuilder::alongRow(Value value, Value like) {
  auto dims = llvm::to_vector(llvm::seq<int64_t>(0, rank(like) - 1));
  return broadcast(value, like, dims);
}

Value DecomposeBuilder::alongColumns(Value value, Value like) {
  return broadcast(value, like, {rank(like) - 1});
}

Value DecomposeBuilder::sum(Value value, ArrayRef<int64_t> dims) {
  if (dims.empty())
    return value;
  return kernel::ReduceOp::create(b, loc, kernel::ReductionKind::Add, value,
                                  dims);
}

Value DecomposeBuilder::sumLast(Value value) {
  return sum(value, {rank(value) - 1});
}

Value DecomposeBuilder::maxLast(Value value) {
  return kernel::ReduceOp::create(b, loc, kernel::ReductionKind::Max, value,
                                  ArrayRef<int64_t>{rank(value) - 1});
}

Value DecomposeBuilder::meanLast(Value value) {
  Value total = sumLast(value);
  return mul(total, splat(total, 1.0 / lastDim(value)));
}

Value DecomposeBuilder::sumRows(Value value) {
  return sum(value, llvm::to_vector(llvm::seq<int64_t>(0, rank(value) - 1)));
}

Value DecomposeBuilder::sumAll(Value value) {
  return sum(value, llvm::to_vector(llvm::seq<int64_t>(0, rank(value))));
}

Value DecomposeBuilder::contract(StringRef spec, Value lhs, Value rhs) {
  auto [inputs, out] = spec.split("->");
  auto [lhsLetters, rhsLetters] = inputs.split(",");
  SmallVector<int64_t> shape;
  for (char letter : out) {
    size_t inLhs = lhsLetters.find(letter);
    shape.push_back(inLhs != StringRef::npos
                        ? type(lhs).getDimSize(inLhs)
                        : type(rhs).getDimSize(rhsLetters.find(letter)));
  }
  return kernel::ContractOp::create(
      b, loc, RankedTensorType::get(shape, compute), spec, lhs, rhs);
}

Value DecomposeBuilder::slice(Value value, int64_t begin, int64_t size) {
  return kernel::SliceOp::create(b, loc, value, begin, size);
}

Value DecomposeBuilder::concat(Value lhs, Value rhs) {
  return kernel::ConcatOp::create(b, loc, lhs, rhs);
}

Value DecomposeBuilder::element(Value value, ArrayRef<int64_t> indices) {
  auto to = RankedTensorType::get({}, type(value).getElementType());
  return kernel::ElementOp::create(b, loc, to, value, indices);
}

Value DecomposeBuilder::iota(ArrayRef<int64_t> shape, int64_t dim) {
  return kernel::IotaOp::create(
      b, loc, RankedTensorType::get(shape, b.getI32Type()), dim);
}
