//===- Storage.h - The quantized forms of a parameter -----------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A parameter (out, in) = [N, K] lies in memory in one or several storages. The
// storages `master` and `compute` are the matrix itself in f32 and in the
// model's type; a quantized form has several parts, each a storage of its own
// that entry points read by qwen.get_param:
//
//   int8  int8 [N, K] i8, int8_scale [N] f32:
//         w[n, k] ~ int8_scale[n] int8[n, k]
//   int4  int4 [N, K/2] i8, int4_step [N, K/32] i8, int4_scale [N] f32; K is a
//         multiple of 32. Of group g, byte [n, 16 g + i] holds columns
//         32 g + i (low half) and 32 g + 16 + i (high half), from -8 to 7,
//         which stand for the whole numbers d of runtime/abi/qwen_int4.h:
//
//         w[n, k] ~ int4_scale[n] int4_step[n, k / 32] d(int4[n, k])
//
// A group's step is a whole number from -64 to 64: the scale of a row stands
// outside of its sums, and step times number is exact in f32. The runtime makes
// these when it loads weights (runtime/weights/Quantize.h).
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_DIALECTS_QWEN_STORAGE_H
#define QWEN_DIALECTS_QWEN_STORAGE_H

#include "mlir/IR/BuiltinTypes.h"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"

namespace qwen::storage {

inline constexpr llvm::StringLiteral kInt8 = "int8";
inline constexpr llvm::StringLiteral kInt8Scale = "int8_scale";
inline constexpr llvm::StringLiteral kInt4 = "int4";
inline constexpr llvm::StringLiteral kInt4Step = "int4_step";
inline constexpr llvm::StringLiteral kInt4Scale = "int4_scale";

/// Columns of one group of int4.
inline constexpr int64_t kGroup = 32;

/// The type of a part of a quantized form of the matrix `master`; null if there
/// is no such storage or the matrix cannot have it.
mlir::RankedTensorType partType(mlir::RankedTensorType master,
                                llvm::StringRef storage);

} // namespace qwen::storage

#endif // QWEN_DIALECTS_QWEN_STORAGE_H
