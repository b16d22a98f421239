//===- BlockOperands.h - Operands of block ops in memory --------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_CODEGEN_BLOCKOPERANDS_H
#define QWEN_COMPILER_CODEGEN_BLOCKOPERANDS_H

#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Operation.h"
#include "mlir/IR/TypeUtilities.h"

namespace qwen {

/// The element type of a tensor.
inline mlir::Type elementOf(mlir::Value tensor) {
  return mlir::getElementTypeOrSelf(tensor.getType());
}

/// The size of a tensor's dimension; negative `index` counts from the end.
inline int64_t dimOf(mlir::Value tensor, int64_t index) {
  auto type = mlir::cast<mlir::RankedTensorType>(tensor.getType());
  return type.getDimSize(index < 0 ? type.getRank() + index : index);
}

/// Succeeds if all operands of a block op are arguments of its kernel and their
/// floats are f32 or bf16; else reports an error at the op.
mlir::LogicalResult verifyBlock(mlir::Operation *op);

/// The number of a block op's result among those that its kernel returns; -1 if
/// the kernel does not return it, or `result` is null.
int returnedNumber(mlir::Value result);

/// The memory of a block op's operand, in code of its kernel that `builder`
/// builds (of the CPU or of a GPU).
template <typename Builder>
mlir::Value operandPointer(Builder &builder, mlir::Value operand) {
  return builder.argument(
      mlir::cast<mlir::BlockArgument>(operand).getArgNumber());
}

/// The memory of a block op's result; null if the kernel does not return it.
template <typename Builder>
mlir::Value resultPointer(Builder &builder, mlir::Value result) {
  int number = returnedNumber(result);
  return number < 0 ? mlir::Value() : builder.result(number);
}

} // namespace qwen

#endif // QWEN_COMPILER_CODEGEN_BLOCKOPERANDS_H
