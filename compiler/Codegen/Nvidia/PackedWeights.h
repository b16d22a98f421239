//===- PackedWeights.h - Weights of small integers on GPUs -----*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The numbers of the storages int8 and int4 of dialects/Qwen/Storage.h, made of
// words of 32 bits. They are exact in bf16. Scales of rows are the epilogue's.
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_CODEGEN_NVIDIA_PACKEDWEIGHTS_H
#define QWEN_COMPILER_CODEGEN_NVIDIA_PACKEDWEIGHTS_H

#include "compiler/Codegen/ContractForm.h"
#include "compiler/Codegen/Nvidia/KernelBuilder.h"

namespace qwen::nvidia {

/// Columns of a group of int4, which has one step and 16 bytes.
inline constexpr int64_t kInt4Group = 32;

/// The most numbers of int8 that one access takes in rows of `columns`.
int64_t int8Lanes(int64_t columns);

/// `count` numbers (a power of two up to 16) from byte `offset` (i64) on, a
/// multiple of `count`; f32.
llvm::SmallVector<mlir::Value> loadInt8(KernelBuilder &k, mlir::Value bytes,
                                        mlir::Value offset, int64_t count);

/// The numbers of group `group` (i64) of int4 before its step; f32.
llvm::SmallVector<mlir::Value> loadInt4(KernelBuilder &k, mlir::Value bytes,
                                        mlir::Value group);

/// The step of group `group` (i64); f32.
mlir::Value loadStep(KernelBuilder &k, mlir::Value steps, mlir::Value group);

} // namespace qwen::nvidia

#endif // QWEN_COMPILER_CODEGEN_NVIDIA_PACKEDWEIGHTS_H
