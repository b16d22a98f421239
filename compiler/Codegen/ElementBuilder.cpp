//===- ElementBuilder.cpp - Builds code on elements -----------------------===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "compiler/Codegen/ElementBuilder.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace qwen;
using namespace qwen::codegen;

//===----------------------------------------------------------------------===//
// Types and constants
//===----------------------------------------------------------------------===//

Type ElementBuilder::typeLike(Type element, Type like) {
  if (auto vector = dyn_cast<VectorType>(like))
    return vectorType(element, vector.getNumElements());
  return element;
}

Type ElementBuilder::elementType(Value value) {
  return getElementTypeOrSelf(value.getType());
}

int64_t ElementBuilder::lanesOf(Value value) {
  auto vector = dyn_cast<VectorType>(value.getType());
  return vector ? vector.getNumElements() : 0;
}

Value ElementBuilder::i64(int64_t value) {
  return arith::ConstantOp::create(b, loc, b.getI64IntegerAttr(value));
}

Value ElementBuilder::i32(int32_t value) {
  return arith::ConstantOp::create(b, loc, b.getI32IntegerAttr(value));
}

Value ElementBuilder::i1(bool value) {
  return arith::ConstantOp::create(b, loc, b.getBoolAttr(value));
}

Value ElementBuilder::constant(Type type, double value) {
  Type element = getElementTypeOrSelf(type);
  TypedAttr attr;
  if (isa<FloatType>(element))
    attr = b.getFloatAttr(element, value);
  else
    attr = b.getIntegerAttr(element, static_cast<int64_t>(value));
  if (auto vector = dyn_cast<VectorType>(type))
    attr = DenseElementsAttr::get(vector, attr);
  return arith::ConstantOp::create(b, loc, attr);
}

Value ElementBuilder::laneNumbers(int64_t lanes) {
  auto numbers = llvm::to_vector(llvm::seq<int32_t>(0, lanes));
  return arith::ConstantOp::create(b, loc, b.getI32VectorAttr(numbers));
}

//===----------------------------------------------------------------------===//
// Integers
//===----------------------------------------------------------------------===//

static std::optional<int64_t> constantOf(Value value) {
  APInt number;
  if (matchPattern(value, m_ConstantInt(&number)))
    return number.getSExtValue();
  return std::nullopt;
}

Value ElementBuilder::addI(Value lhs, Value rhs) {
  auto x = constantOf(lhs), y = constantOf(rhs);
  if (x && y && lhs.getType().isInteger(64))
    return i64(*x + *y);
  if (x == 0)
    return rhs;
  if (y == 0)
    return lhs;
  return arith::AddIOp::create(b, loc, lhs, rhs);
}

Value ElementBuilder::addI(Value lhs, int64_t rhs) {
  return rhs == 0 ? lhs : addI(lhs, i64(rhs));
}

Value ElementBuilder::subI(Value lhs, Value rhs) {
  return arith::SubIOp::create(b, loc, lhs, rhs);
}

Value ElementBuilder::mulI(Value lhs, Value rhs) {
  auto x = constantOf(lhs), y = constantOf(rhs);
  if (x && y && lhs.getType().isInteger(64))
    return i64(*x * *y);
  if (x == 1)
    return rhs;
  if (y == 1)
    return lhs;
  return arith::MulIOp::create(b, loc, lhs, rhs);
}

Value ElementBuilder::mulI(Value lhs, int64_t rhs) {
  return rhs == 1 ? lhs : mulI(lhs, i64(rhs));
}

Value ElementBuilder::divI(Value lhs, Value rhs) {
  return arith::DivUIOp::create(b, loc, lhs, rhs);
}
Value ElementBuilder::remI(Value lhs, Value rhs) {
  return arith::RemUIOp::create(b, loc, lhs, rhs);
}
Value ElementBuilder::minI(Value lhs, Value rhs) {
  return arith::MinSIOp::create(b, loc, lhs, rhs);
}
Value ElementBuilder::maxI(Value lhs, Value rhs) {
  return arith::MaxSIOp::create(b, loc, lhs, rhs);
}
Value ElementBuilder::cmpI(arith::CmpIPredicate predicate, Value lhs,
                           Value rhs) {
  return arith::CmpIOp::create(b, loc, predicate, lhs, rhs);
}
Value ElementBuilder::toI64(Value value) {
  return arith::ExtSIOp::create(b, loc, b.getI64Type(), value);
}

//===----------------------------------------------------------------------===//
// Floats
//===----------------------------------------------------------------------===//

Value ElementBuilder::add(Value lhs, Value rhs) {
  return arith::AddFOp::create(b, loc, lhs, rhs);
}
Value ElementBuilder::sub(Value lhs, Value rhs) {
  return arith::SubFOp::create(b, loc, lhs, rhs);
}
Value ElementBuilder::mul(Value lhs, Value rhs) {
  return arith::MulFOp::create(b, loc, lhs, rhs);
}
Value ElementBuilder::quotient(Value lhs, Value rhs) {
  return arith::DivFOp::create(b, loc, lhs, rhs);
}
Value ElementBuilder::neg(Value value) {
  return arith::NegFOp::create(b, loc, value);
}
Value ElementBuilder::fma(Value lhs, Value rhs, Value addend) {
  return LLVM::FMAOp::create(b, loc, lhs, rhs, addend);
}
Value ElementBuilder::cmpF(arith::CmpFPredicate predicate, Value lhs,
                           Value rhs) {
  return arith::CmpFOp::create(b, loc, predicate, lhs, rhs);
}
Value ElementBuilder::select(Value condition, Value lhs, Value rhs) {
  return arith::SelectOp::create(b, loc, condition, lhs, rhs);
}

Value ElementBuilder::maximum(Value lhs, Value rhs) {
  // Two compare-and-select: cheaper than llvm.maximum's order of zeros, which
  // nothing here depends on.
  Value larger = select(cmpF(arith::CmpFPredicate::OGT, lhs, rhs), lhs, rhs);
  return select(cmpF(arith::CmpFPredicate::UNO, lhs, lhs), lhs, larger);
}

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

unsigned codegen::elementBytes(Type type) {
  Type element = getElementTypeOrSelf(type);
  if (isa<LLVM::LLVMPointerType>(element))
    return 8;
  return (element.getIntOrFloatBitWidth() + 7) / 8;
}

Value ElementBuilder::pointerAt(Value pointer, Type element, Value offset) {
  if (!offset || constantOf(offset) == 0)
    return pointer;
  return LLVM::GEPOp::create(b, loc, pointer.getType(), element, pointer,
                             ValueRange{offset},
                             LLVM::GEPNoWrapFlags::inbounds);
}

Value ElementBuilder::advance(Value pointer, int64_t bytes) {
  return pointerAt(pointer, b.getI8Type(), i64(bytes));
}

Value ElementBuilder::load(Type type, Value pointer, Value offset) {
  // As integers: LLVM takes copies of bf16 vectors apart.
  if (getElementTypeOrSelf(type).isBF16())
    return bitcast(load(typeLike(b.getI16Type(), type), pointer, offset),
                   b.getBF16Type());
  pointer = pointerAt(pointer, getElementTypeOrSelf(type), offset);
  return LLVM::LoadOp::create(b, loc, type, pointer, elementBytes(type));
}

void ElementBuilder::store(Value value, Value pointer, Value offset) {
  if (elementType(value).isBF16())
    value = bitcast(value, b.getI16Type());
  pointer = pointerAt(pointer, elementType(value), offset);
  LLVM::StoreOp::create(b, loc, value, pointer, elementBytes(value.getType()));
}

Value ElementBuilder::loadF32(Type element, int64_t lanes, Value pointer,
                              Value offset) {
  return widen(load(vectorType(element, lanes), pointer, offset));
}

void ElementBuilder::storeF32(Value value, Type element, Value pointer,
                              Value offset) {
  store(narrow(value, element), pointer, offset);
}

Value ElementBuilder::constantTable(DenseElementsAttr elements) {
  Operation *scope = tableScope();
  int64_t count = elements.getNumElements();
  Type element = elements.getElementType();
  // In LLVM an array; a tensor of one dimension has the same elements.
  elements = elements.reshape(RankedTensorType::get({count}, element));
  LLVM::GlobalOp global;
  for (unsigned i = 0;; ++i) {
    std::string name = symbol() + ".table" + std::to_string(i);
    global = dyn_cast_or_null<LLVM::GlobalOp>(
        SymbolTable::lookupSymbolIn(scope, name));
    if (global && *global.getValue() == elements)
      break;
    if (global)
      continue;
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(&scope->getRegion(0).front());
    global = LLVM::GlobalOp::create(
        b, loc, LLVM::LLVMArrayType::get(element, count),
        /*isConstant=*/true, LLVM::Linkage::Internal, name, elements,
        /*alignment=*/64, tableSpace());
    break;
  }
  return LLVM::AddressOfOp::create(b, loc, global);
}

//===----------------------------------------------------------------------===//
// Rounding and vectors
//===----------------------------------------------------------------------===//

Value ElementBuilder::widen(Value value) {
  if (elementType(value).isF32())
    return value;
  if (elementType(value).isInteger())
    return arith::SIToFPOp::create(b, loc, typeLike(f32(), value.getType()),
                                   value);
  if (!elementType(value).isBF16())
    return arith::ExtFOp::create(b, loc, typeLike(f32(), value.getType()),
                                 value);
  // In integers: LLVM takes some short vectors of bf16 apart by a library call
  // for every element.
  Value bits = bitcast(value, b.getI16Type());
  Type wide = typeLike(b.getI32Type(), value.getType());
  bits = arith::ExtUIOp::create(b, loc, wide, bits);
  return bitcast(arith::ShLIOp::create(b, loc, bits, constant(wide, 16)),
                 f32());
}

Value ElementBuilder::bitcast(Value value, Type element) {
  Type type = typeLike(element, value.getType());
  if (type == value.getType())
    return value;
  return arith::BitcastOp::create(b, loc, type, value);
}

Value ElementBuilder::narrow(Value value, Type element) {
  if (elementType(value) == element)
    return value;
  Type type = typeLike(element, value.getType());
  if (!element.isBF16())
    return arith::TruncFOp::create(b, loc, type, value);
  // To nearest even in integers: without the instruction, truncf is a library
  // call for every element. NaNs whose payload is not all ones stay NaNs.
  Value bits = bitcast(value, b.getI32Type());
  Type wide = bits.getType();
  Value odd = arith::AndIOp::create(
      b, loc, arith::ShRUIOp::create(b, loc, bits, constant(wide, 16)),
      constant(wide, 1));
  Value rounded = arith::AddIOp::create(
      b, loc, bits, arith::AddIOp::create(b, loc, odd, constant(wide, 0x7fff)));
  Value high = arith::ShRUIOp::create(b, loc, rounded, constant(wide, 16));
  Value half =
      arith::TruncIOp::create(b, loc, typeLike(b.getI16Type(), wide), high);
  return bitcast(half, element);
}

Value ElementBuilder::splat(Value scalar, int64_t lanes) {
  return vector::BroadcastOp::create(
      b, loc, vectorType(scalar.getType(), lanes), scalar);
}

Value ElementBuilder::extract(Value vector, int64_t lane) {
  return vector::ExtractOp::create(b, loc, vector, ArrayRef<int64_t>{lane});
}

/// Folds the upper half of the lanes onto the lower until one is left. The
/// order is part of the result; a power of two.
static Value foldLanes(ElementBuilder &k, Value vector,
                       function_ref<Value(Value, Value)> combine) {
  for (int64_t lanes = k.lanesOf(vector); lanes > 1; lanes /= 2) {
    auto half = [&](int64_t from) -> Value {
      auto numbers =
          llvm::to_vector(llvm::seq<int64_t>(from, from + lanes / 2));
      return vector::ShuffleOp::create(k.b, k.loc, vector, vector, numbers);
    };
    vector = combine(half(0), half(lanes / 2));
  }
  return k.extract(vector, 0);
}

Value ElementBuilder::sumLanes(Value vector) {
  assert(llvm::isPowerOf2_64(lanesOf(vector)));
  return foldLanes(*this, vector, [&](Value x, Value y) { return add(x, y); });
}

Value ElementBuilder::maxLanes(Value vector) {
  assert(llvm::isPowerOf2_64(lanesOf(vector)));
  return foldLanes(*this, vector,
                   [&](Value x, Value y) { return maximum(x, y); });
}

//===----------------------------------------------------------------------===//
// Control
//===----------------------------------------------------------------------===//

void ElementBuilder::forLoop(Value lower, Value upper, int64_t step,
                             function_ref<void(Value)> body) {
  forLoop(lower, upper, step, {}, [&](Value iv, ValueRange) {
    body(iv);
    return SmallVector<Value>();
  });
}

SmallVector<Value> ElementBuilder::forLoop(
    Value lower, Value upper, int64_t step, ValueRange inits,
    function_ref<SmallVector<Value>(Value, ValueRange)> body) {
  Value stride = i64(step);
  auto loop = scf::ForOp::create(b, loc, lower, upper, stride, inits);
  OpBuilder::InsertionGuard guard(b);
  Block *block = loop.getBody();
  // Without carried values the builder has already made the terminator.
  if (inits.empty()) {
    b.setInsertionPoint(block->getTerminator());
    body(loop.getInductionVar(), {});
  } else {
    b.setInsertionPointToEnd(block);
    SmallVector<Value> next =
        body(loop.getInductionVar(), loop.getRegionIterArgs());
    scf::YieldOp::create(b, loc, next);
  }
  return llvm::to_vector_of<Value>(loop.getResults());
}

SmallVector<Value>
ElementBuilder::whileLoop(ValueRange inits,
                          function_ref<Value(ValueRange)> condition,
                          function_ref<SmallVector<Value>(ValueRange)> body) {
  auto loop = scf::WhileOp::create(
      b, loc, inits.getTypes(), inits,
      [&](OpBuilder &nested, Location at, ValueRange values) {
        OpBuilder::InsertionGuard guard(b);
        b.setInsertionPoint(nested.getInsertionBlock(),
                            nested.getInsertionPoint());
        Value again = condition(values);
        scf::ConditionOp::create(b, at, again, values);
      },
      [&](OpBuilder &nested, Location at, ValueRange values) {
        OpBuilder::InsertionGuard guard(b);
        b.setInsertionPoint(nested.getInsertionBlock(),
                            nested.getInsertionPoint());
        SmallVector<Value> next = body(values);
        scf::YieldOp::create(b, at, next);
      });
  return llvm::to_vector_of<Value>(loop.getResults());
}

void ElementBuilder::ifThen(Value condition, function_ref<void()> then,
                            function_ref<void()> otherwise) {
  auto branch = scf::IfOp::create(b, loc, condition,
                                  /*withElseRegion=*/bool(otherwise));
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPoint(branch.thenBlock()->getTerminator());
  then();
  if (!otherwise)
    return;
  b.setInsertionPoint(branch.elseBlock()->getTerminator());
  otherwise();
}

SmallVector<Value>
ElementBuilder::ifElse(Value condition, function_ref<SmallVector<Value>()> then,
                       function_ref<SmallVector<Value>()> otherwise) {
  // The types of the results are known only once a branch is built.
  auto branch = scf::IfOp::create(
      b, loc, condition,
      [&](OpBuilder &nested, Location at) {
        OpBuilder::InsertionGuard guard(b);
        b.setInsertionPoint(nested.getInsertionBlock(),
                            nested.getInsertionPoint());
        SmallVector<Value> values = then();
        scf::YieldOp::create(b, at, values);
      },
      [&](OpBuilder &nested, Location at) {
        OpBuilder::InsertionGuard guard(b);
        b.setInsertionPoint(nested.getInsertionBlock(),
                            nested.getInsertionPoint());
        SmallVector<Value> values = otherwise();
        scf::YieldOp::create(b, at, values);
      });
  return llvm::to_vector_of<Value>(branch.getResults());
}

//===----------------------------------------------------------------------===//
// Units
//===----------------------------------------------------------------------===//

AffineMap codegen::constantUnits(MLIRContext *context, int64_t units) {
  return AffineMap::get(0, 3, getAffineConstantExpr(units, context));
}

AffineMap codegen::rowUnits(MLIRContext *context, int64_t scale,
                            int64_t divisor) {
  AffineExpr rows = getAffineSymbolExpr(2, context);
  return AffineMap::get(0, 3, (rows * scale).ceilDiv(divisor));
}
