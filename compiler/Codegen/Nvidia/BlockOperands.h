//===- BlockOperands.h - Memory of a block op's operands ------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_CODEGEN_NVIDIA_BLOCKOPERANDS_H
#define QWEN_COMPILER_CODEGEN_NVIDIA_BLOCKOPERANDS_H

#include "compiler/Codegen/Nvidia/KernelBuilder.h"

namespace qwen::nvidia {

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

/// The memory of a block op's operand, in a kernel of its own.
mlir::Value operandPointer(KernelBuilder &k, mlir::Value operand);

/// The memory of a block op's result; null if the kernel does not return it.
mlir::Value resultPointer(KernelBuilder &k, mlir::Value result);

/// The most shared memory that a block may have (compute capability 9.0), and
/// an error at `op` if it is exceeded.
inline constexpr int64_t kMaxSharedBytes = 227 << 10;
mlir::LogicalResult verifyShared(mlir::Operation *op, const Launch &launch);

} // namespace qwen::nvidia

#endif // QWEN_COMPILER_CODEGEN_NVIDIA_BLOCKOPERANDS_H
