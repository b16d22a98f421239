//===- BlockFrame.h - Memory of a block op's operands -----------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_CODEGEN_CPU_BLOCKFRAME_H
#define QWEN_COMPILER_CODEGEN_CPU_BLOCKFRAME_H

#include "compiler/Codegen/Cpu/SimdBuilder.h"

namespace qwen::cpu {

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

/// The memory of a block op's operand, in a task of its kernel.
mlir::Value operandPointer(KernelBuilder &b, mlir::Value operand);

/// The memory of a block op's result; null if the kernel does not return it.
mlir::Value resultPointer(KernelBuilder &b, mlir::Value result);

} // namespace qwen::cpu

#endif // QWEN_COMPILER_CODEGEN_CPU_BLOCKFRAME_H
