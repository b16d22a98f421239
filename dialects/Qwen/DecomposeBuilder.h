//===- DecomposeBuilder.h - Shorthand for writing decompositions -*- C++ -*-=//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Elementary ops with types inferred from their operands, so that a
// decomposition reads like its formula.
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_DIALECTS_QWEN_DECOMPOSEBUILDER_H
#define QWEN_DIALECTS_QWEN_DECOMPOSEBUILDER_H

#include "dialects/Kernel/KernelDialect.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinTypes.h"

namespace qwen {

/// Builds elementary ops on tensors. Floating-point values are computed in f32,
/// or in f64 once `wide` (the f64 mode of tests) is found among the operands.
class DecomposeBuilder {
public:
  DecomposeBuilder(mlir::OpBuilder &builder, mlir::Location loc,
                   mlir::ValueRange operands);

  using Value = mlir::Value;
  static mlir::RankedTensorType type(Value value) {
    return llvm::cast<mlir::RankedTensorType>(value.getType());
  }
  static int64_t rank(Value value) { return type(value).getRank(); }
  static int64_t lastDim(Value value) { return type(value).getShape().back(); }

  /// The computing type.
  mlir::FloatType floatType() const { return compute; }
  /// `value` in the computing type.
  Value widen(Value value);
  /// `value` rounded to the element type of `like`.
  Value roundTo(Value value, mlir::Type like);

  Value add(Value lhs, Value rhs);
  Value sub(Value lhs, Value rhs);
  Value mul(Value lhs, Value rhs);
  Value div(Value lhs, Value rhs);
  Value neg(Value value);
  Value exp(Value value);
  Value log(Value value);
  Value sqrt(Value value);
  Value rsqrt(Value value);
  Value tanh(Value value);
  Value erf(Value value);
  Value cos(Value value);
  Value sin(Value value);
  Value max(Value lhs, Value rhs);
  Value select(Value condition, Value lhs, Value rhs);
  /// lhs > rhs, lhs < rhs, lhs >= rhs on floats; lhs == rhs and so on on
  /// integers.
  Value gt(Value lhs, Value rhs);
  Value lt(Value lhs, Value rhs);
  Value eq(Value lhs, Value rhs);
  Value ge(Value lhs, Value rhs);
  /// i32 (or i1) to the computing type.
  Value toFloat(Value integer);
  /// i1 to i32.
  Value toInt(Value boolean);
  Value logicalAnd(Value lhs, Value rhs);

  /// A constant with the shape of `like`, in the computing type.
  Value splat(Value like, double value);
  /// A scalar (rank 0) constant.
  Value scalar(double value);
  Value intSplat(Value like, int32_t value);

  /// Repeats `value` to the shape of `like`; dims as in kernel.broadcast.
  Value broadcast(Value value, Value like, llvm::ArrayRef<int64_t> dims);
  Value broadcastTo(Value value, llvm::ArrayRef<int64_t> shape,
                    llvm::ArrayRef<int64_t> dims);
  /// A per-row value [...] along the last dimension of `like` [..., C].
  Value alongRow(Value value, Value like);
  /// A vector [C] along all rows of `like` [..., C].
  Value alongColumns(Value value, Value like);
  /// A scalar everywhere.
  Value everywhere(Value value, Value like) {
    return broadcast(value, like, {});
  }

  Value sumLast(Value value);
  Value maxLast(Value value);
  /// sumLast / C.
  Value meanLast(Value value);
  /// The sum over all dimensions but the last.
  Value sumRows(Value value);
  /// The sum over everything: rank 0.
  Value sumAll(Value value);
  Value sum(Value value, llvm::ArrayRef<int64_t> dims);

  /// The letters of all dimensions but the last: "m" for rows, "ma" for batch
  /// and sequence. Later letters of the alphabet are free for the others.
  static std::string rowLetters(Value value) {
    return llvm::StringRef("mabcdef").take_front(rank(value) - 1).str();
  }
  Value contract(llvm::StringRef spec, Value lhs, Value rhs);
  Value slice(Value value, int64_t begin, int64_t size);
  Value concat(Value lhs, Value rhs);
  Value element(Value value, llvm::ArrayRef<int64_t> indices);
  Value iota(llvm::ArrayRef<int64_t> shape, int64_t dim);

  /// The type of `like` with another element type.
  static mlir::RankedTensorType withElement(Value like, mlir::Type element);

  mlir::OpBuilder &b;
  mlir::Location loc;

private:
  mlir::FloatType compute;
};

} // namespace qwen

#endif // QWEN_DIALECTS_QWEN_DECOMPOSEBUILDER_H
