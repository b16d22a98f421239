//===- CrossEntropy.h - The head's loss without its logits ------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The vocabulary is divided into a fixed number of slots. Each computes the
// logits of its columns in tiles that never leave the worker's scratch, and
// leaves one partial result a row in the workspace; a later task combines the
// slots in their order. The gradient computes the logits a second time: that
// is cheaper than to write and read rows x vocabulary numbers.
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_CODEGEN_CPU_CROSSENTROPY_H
#define QWEN_COMPILER_CODEGEN_CPU_CROSSENTROPY_H

#include "compiler/Codegen/Cpu/GemmKernel.h"

namespace qwen::cpu {

/// What the loss and its gradient have in common.
struct HeadLoss {
  /// Parts of the vocabulary: one vector of partial results a row.
  static constexpr int64_t kSlots = kLanes;
  /// The tile of logits, small enough for the second cache with its
  /// operands; the gradient's products take several of them together.
  static constexpr int64_t kRows = 64, kColumns = 256;
  static constexpr int64_t kGradRows = 512;
  /// Rows of one unit: its columns of the weight are packed once for them.
  static constexpr int64_t kUnitRows = 1024;
  /// Rows whose losses one unit adds up.
  static constexpr int64_t kBlock = 64;
  static constexpr int64_t kTileBytes = 4 * kRows * kColumns;
  static constexpr int64_t kGradBytes = 4 * kGradRows * kColumns;

  mlir::Type x, weight;
  int64_t hidden, vocabulary;
  double cap, zWeight;

  /// Columns of a slot, and how many slots are not empty.
  int64_t slotColumns() const;
  int64_t slots() const { return llvm::divideCeil(vocabulary, slotColumns()); }
  static int64_t blocks(int64_t rows) { return llvm::divideCeil(rows, kBlock); }
  /// Floats of workspace for `rows` rows.
  static int64_t workspaceFloats(int64_t rows);
};

/// Where the shared partial results are, for the task of `b`.
struct HeadWorkspace {
  explicit HeadWorkspace(SimdBuilder &b);
  /// [rows, kSlots]: largest logit, sum of exponentials, its column (i32).
  mlir::Value maxima, sums, columns;
  /// [rows]: the target's logit, the log-sum-exp.
  mlir::Value chosen, lse;
  /// [blocks]: sums over blocks of rows (the last two i32).
  mlir::Value losses, counts, corrects;
  /// The first byte behind.
  mlir::Value end;
};

/// Logits of rows [row, row + rows) and columns [column, column + columns) into
/// the tile at `tile`, before the softcap. `packed` and `reuse` as in GemmCall,
/// for the same columns; ignored if the hidden dimension is too large for it.
void emitLogits(SimdBuilder &b, mlir::ModuleOp module, const HeadLoss &head,
                mlir::Value x, mlir::Value weight, mlir::Value row,
                mlir::Value rows, mlir::Value column, mlir::Value columns,
                mlir::Value tile, mlir::Value gemmScratch, mlir::Value packed,
                mlir::Value reuse);

/// dz of one row, from its logits at `line` (before the softcap, of type
/// `from`, `columns` of them from `column` on) to `to` (of type `element`).
/// Where `exact`, memory behind the columns is not touched.
void emitLogitsGrad(SimdBuilder &b, const HeadLoss &head, mlir::Value line,
                    mlir::Type from, mlir::Value to, mlir::Type element,
                    bool exact, mlir::Value column, mlir::Value columns,
                    mlir::Value target, mlir::Value lse, mlir::Value seed);

/// The target of a row if it counts, else -1 (i64).
mlir::Value loadTarget(SimdBuilder &b, const HeadLoss &head,
                       mlir::Value targets, mlir::Value row);

/// Scalars of the results; may be null.
struct HeadResults {
  mlir::Value loss, count, correct;
};

/// The tasks that find the loss, `lse` included. `findsBest`: the largest
/// logit's column is needed. Without a weight x is the logits themselves.
void emitStatistics(mlir::Operation *op, mlir::Value x, mlir::Value weight,
                    mlir::Value targets, const HeadLoss &head, bool findsBest,
                    const HeadResults &results, const CpuTarget &target,
                    mlir::ModuleOp module, KernelCode &code);

} // namespace qwen::cpu

#endif // QWEN_COMPILER_CODEGEN_CPU_CROSSENTROPY_H
