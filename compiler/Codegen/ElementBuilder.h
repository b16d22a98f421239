//===- ElementBuilder.h - Builds code on elements --------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What the kernels of all targets are built with: numbers, loops, loads and
// stores, rounding, reductions over lanes and mathematical functions. Numbers
// and offsets are i64; values are scalars or vectors of any number of lanes
// (LLVM splits what is wider than a register). No op carries fast-math flags
// unless said so. A target derives from it and overrides what it has better
// instructions for.
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_CODEGEN_ELEMENTBUILDER_H
#define QWEN_COMPILER_CODEGEN_ELEMENTBUILDER_H

#include "dialects/Kernel/KernelDialect.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/AffineMap.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinOps.h"

namespace qwen::codegen {

class ElementBuilder {
public:
  using Value = mlir::Value;
  using Type = mlir::Type;

  ElementBuilder(mlir::MLIRContext *context, mlir::Location loc)
      : b(context), loc(loc) {}
  virtual ~ElementBuilder() = default;

  mlir::OpBuilder b;
  mlir::Location loc;

  // The frame.
  /// The name of the function that is built.
  virtual std::string symbol() = 0;
  /// Pointers of the kernel's arguments and results.
  virtual Value argument(unsigned index) = 0;
  virtual Value result(unsigned index) = 0;
  /// Extents (i64).
  Value batch() { return batchSize; }
  Value sequence() { return sequenceSize; }
  Value rows() { return rowCount; }
  /// The address of a constant array with these elements (of any shape).
  Value constantTable(mlir::DenseElementsAttr elements);

  // Types.
  mlir::FloatType f32() { return b.getF32Type(); }
  mlir::VectorType vectorType(Type element, int64_t lanes) {
    return mlir::VectorType::get({lanes}, element);
  }
  /// `element`, or a vector of it with the lanes of `like` if that is a vector.
  Type typeLike(Type element, Type like);
  /// The element type of a vector, or the type itself.
  static Type elementType(Value value);
  /// Lanes of a vector; 0 for a scalar.
  static int64_t lanesOf(Value value);

  // Constants.
  Value i64(int64_t value);
  Value i32(int32_t value);
  Value i1(bool value);
  /// A number of type `type`: float, integer, or a vector (all lanes the same).
  Value constant(Type type, double value);
  Value f32(double value) { return constant(f32(), value); }
  /// A number with the type of `like`.
  Value constantLike(Value like, double value) {
    return constant(like.getType(), value);
  }
  /// 0, 1, 2, ... in i32.
  Value laneNumbers(int64_t lanes);

  // Integers. Constants fold.
  Value addI(Value lhs, Value rhs);
  Value addI(Value lhs, int64_t rhs);
  Value subI(Value lhs, Value rhs);
  Value mulI(Value lhs, Value rhs);
  Value mulI(Value lhs, int64_t rhs);
  Value divI(Value lhs, Value rhs); // of non-negative numbers
  Value remI(Value lhs, Value rhs);
  Value minI(Value lhs, Value rhs);
  Value maxI(Value lhs, Value rhs);
  Value cmpI(mlir::arith::CmpIPredicate predicate, Value lhs, Value rhs);
  /// i32 to i64, with sign.
  Value toI64(Value value);

  // Floats, scalars or vectors.
  Value add(Value lhs, Value rhs);
  Value sub(Value lhs, Value rhs);
  Value mul(Value lhs, Value rhs);
  Value div(Value lhs, Value rhs) { return quotient(lhs, rhs); }
  Value neg(Value value);
  /// lhs * rhs + addend, rounded once.
  Value fma(Value lhs, Value rhs, Value addend);
  /// The larger one; NaN if either is one.
  virtual Value maximum(Value lhs, Value rhs);
  Value cmpF(mlir::arith::CmpFPredicate predicate, Value lhs, Value rhs);
  Value select(Value condition, Value lhs, Value rhs);

  // Functions of f32, scalars or vectors: relative error about 1e-7, NaN and
  // infinities as in libm. cos and sin are libm calls, one a lane.
  virtual Value exp(Value x);
  virtual Value log(Value x);
  virtual Value tanh(Value x);
  Value erf(Value x);
  Value sqrt(Value x);
  /// 1 / sqrt(x), both rounded.
  virtual Value rsqrt(Value x);
  Value abs(Value x);
  /// 1 / (1 + exp(-x)).
  virtual Value sigmoid(Value x);
  virtual Value cos(Value x);
  virtual Value sin(Value x);

  // Memory. `offset` (i64, may be null for 0) counts elements of `type`'s
  // element type; every access is aligned to its element only.
  Value pointerAt(Value pointer, Type element, Value offset);
  /// `pointer` + bytes.
  Value advance(Value pointer, int64_t bytes);
  virtual Value load(Type type, Value pointer, Value offset = {});
  virtual void store(Value value, Value pointer, Value offset = {});
  /// load, then widen; narrow, then store. `element` is the type in memory.
  Value loadF32(Type element, int64_t lanes, Value pointer, Value offset = {});
  void storeF32(Value value, Type element, Value pointer, Value offset = {});

  // Rounding and vectors.
  /// bf16 or f16 to f32; f32 as it is.
  virtual Value widen(Value value);
  /// f32 to `element` (bf16, f16 or f32), to nearest even.
  virtual Value narrow(Value value, Type element);
  /// A scalar in all lanes.
  Value splat(Value scalar, int64_t lanes);
  Value extract(Value vector, int64_t lane);
  /// The sum (the largest) of all lanes of an f32 vector, in a fixed order. The
  /// number of lanes is a power of two.
  Value sumLanes(Value vector);
  Value maxLanes(Value vector);
  /// `vector` as a vector or scalar of another element type of the same width.
  Value bitcast(Value value, Type element);

  // Control. The induction variable is i64; `body` builds inside.
  void forLoop(Value lower, Value upper, int64_t step,
               llvm::function_ref<void(Value)> body);
  /// With values carried from one iteration to the next.
  llvm::SmallVector<Value>
  forLoop(Value lower, Value upper, int64_t step, mlir::ValueRange inits,
          llvm::function_ref<llvm::SmallVector<Value>(Value, mlir::ValueRange)>
              body);
  /// Repeats `body`, which gives the next values, while `condition` (i1) of the
  /// values holds.
  llvm::SmallVector<Value> whileLoop(
      mlir::ValueRange inits,
      llvm::function_ref<Value(mlir::ValueRange)> condition,
      llvm::function_ref<llvm::SmallVector<Value>(mlir::ValueRange)> body);
  void ifThen(Value condition, llvm::function_ref<void()> then,
              llvm::function_ref<void()> otherwise = nullptr);
  /// The values of one of two branches.
  llvm::SmallVector<Value>
  ifElse(Value condition, llvm::function_ref<llvm::SmallVector<Value>()> then,
         llvm::function_ref<llvm::SmallVector<Value>()> otherwise);

  /// Lowers one elementwise op (arith or math, on tensors) to its operands'
  /// scalars or vectors; null if the op is not an elementwise one.
  Value elementwise(mlir::Operation *op, mlir::ValueRange operands);
  /// The value of a splat constant tensor, as a scalar; null for others.
  Value splatConstant(mlir::arith::ConstantOp op);

protected:
  /// Where constant tables are defined, and their address space.
  virtual mlir::Operation *tableScope() = 0;
  virtual unsigned tableSpace() { return 0; }
  virtual Value quotient(Value lhs, Value rhs);
  /// Calls an LLVM intrinsic.
  Value intrinsic(llvm::StringRef name, Type type, mlir::ValueRange operands);
  /// Coefficients from the highest power down, by Horner's rule.
  Value polynomial(Value x, llvm::ArrayRef<double> coefficients);
  /// p * 2^n for integral n (as floats) that may leave the range of f32.
  virtual Value scaleByPowerOfTwo(Value p, Value n);

  Value batchSize, sequenceSize, rowCount;
};

/// Whether ElementBuilder::elementwise can lower `op`.
bool isElementwise(mlir::Operation *op);

/// Bytes of one element of `type`.
unsigned elementBytes(mlir::Type type);

/// Number of units: a constant, or an expression of the extents.
mlir::AffineMap constantUnits(mlir::MLIRContext *context, int64_t units);
/// ceil(rows * scale / divisor).
mlir::AffineMap rowUnits(mlir::MLIRContext *context, int64_t scale = 1,
                         int64_t divisor = 1);

} // namespace qwen::codegen

#endif // QWEN_COMPILER_CODEGEN_ELEMENTBUILDER_H
