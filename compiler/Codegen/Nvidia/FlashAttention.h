//===- FlashAttention.h - Tiles of attention on GPUs ----------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_CODEGEN_NVIDIA_FLASHATTENTION_H
#define QWEN_COMPILER_CODEGEN_NVIDIA_FLASHATTENTION_H

#include "compiler/Codegen/Nvidia/TileProduct.h"

namespace qwen::nvidia {

/// Queries and keys of a tile.
inline constexpr int64_t kQueries = 64, kKeys = 64;

/// Sums as an operand of a further product without rounding them: of bf16 the
/// rounded number and what the rounding left, whose products are added.
class ExactOperand {
public:
  ExactOperand(KernelBuilder &k, mlir::Type element, int64_t rows,
               int64_t columns);
  void store(const TileShape &shape, llvm::ArrayRef<mlir::Value> sums);
  /// sums + this b^T, as nvidia::multiply.
  Sums multiply(const TileShape &shape, Stored form, const SharedMatrix &b,
                Stored formB, int64_t depth, llvm::ArrayRef<mlir::Value> sums);

private:
  KernelBuilder &k;
  bool isSplit;
  SharedMatrix high, low;
};

/// The element type in shared memory: bf16 if all are, else f32.
mlir::Type attentionElement(mlir::ArrayRef<mlir::Value> tensors);

/// One tile of queries of one head against its keys.
struct FlashForward {
  GlobalMatrix q, k, v;
  int64_t headDim;
  double scale;
  mlir::Type element;
  /// The first query of the tile; query i sees keys up to `position` + i, of
  /// them the last `window` (0: all), from `starts`[i] (i32) on (null: all).
  mlir::Value firstQuery, position;
  int64_t window = 0;
  mlir::Value starts;
  /// Results of query 0 of the matrix q; `lse` (f32) may be null.
  mlir::Value out, lse;
  mlir::Type outElement;
  int64_t outStride, lseStride;

  static TileShape scores() { return {kQueries, kKeys, 4, 1}; }
  void emit(KernelBuilder &b) const;
};

} // namespace qwen::nvidia

#endif // QWEN_COMPILER_CODEGEN_NVIDIA_FLASHATTENTION_H
