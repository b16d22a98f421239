//===- HeadLoss.h - The head's loss on GPUs --------------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The vocabulary is divided into slots. A block computes the logits of some
// rows and a slot's columns tile by tile and keeps statistics of each row only;
// two small kernels combine the slots and add up the rows. Of logits in memory
// a block reads one row, all of which is one slot.
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_CODEGEN_NVIDIA_HEADLOSS_H
#define QWEN_COMPILER_CODEGEN_NVIDIA_HEADLOSS_H

#include "compiler/Codegen/Nvidia/NvidiaKernels.h"
#include "compiler/Codegen/Nvidia/TileProduct.h"

namespace qwen::nvidia {

struct HeadLoss {
  static constexpr int64_t kMostSlots = 16;
  /// Rows and columns of a tile of logits.
  static constexpr int64_t kRows = 64, kColumns = 64;
  /// Rows whose losses a block adds up.
  static constexpr int64_t kBlockRows = 128;
  /// Threads of a block that reads logits in memory.
  static constexpr int64_t kLogitThreads = 256;

  /// A warp has whole rows of a tile.
  static TileShape tile() { return {kRows, kColumns, 4, 1}; }

  mlir::Operation *op;
  /// Without a weight x is the logits.
  mlir::Value x, weight, targets;
  double cap;
  /// Of the square of the log-sum-exp, in the loss.
  double zWeight;

  int64_t hidden() const;
  int64_t vocabulary() const;
  int64_t slotColumns() const;
  int64_t slots() const;
  /// Columns of logits in memory that one access takes: 16 bytes, if all rows
  /// are aligned to it.
  int64_t logitLanes() const;
  mlir::Type element() const;

  /// Bytes of workspace for the statistics of `rows` rows.
  static int64_t workspaceBytes(int64_t rows);
  /// What is behind the statistics, in the workspace of a kernel.
  mlir::Value behindStatistics(KernelBuilder &k) const;
  /// The log-sum-exp of row 0, f32.
  mlir::Value lse(KernelBuilder &k) const;

  /// Whole matrices of x and the weight.
  GlobalMatrix rowsOfX(KernelBuilder &k) const;
  GlobalMatrix rowsOfWeight(KernelBuilder &k) const;
  /// A logit from its sum: the softcap. `slope`, if asked for, is the softcap's
  /// derivative there (null without one).
  mlir::Value logit(KernelBuilder &k, mlir::Value sum,
                    mlir::Value *slope = nullptr) const;
  /// The target of a row (i64) if it counts, else -1.
  mlir::Value target(KernelBuilder &k, mlir::Value row) const;

  /// Appends the kernels that find loss, count and correct (scalars; may be
  /// null) and lse. The last one calls `alsoLast` in one thread; it is left out
  /// if it has nothing to do.
  void emit(mlir::Value loss, mlir::Value count, mlir::Value correct,
            const NvidiaTarget &target, mlir::gpu::GPUModuleOp module,
            KernelCode &code,
            llvm::function_ref<void(KernelBuilder &)> alsoLast = nullptr) const;

private:
  struct Workspace;
  void emitSlots(KernelBuilder &k) const;
  void emitLogitRows(KernelBuilder &k) const;
  void emitRows(KernelBuilder &k) const;
};

} // namespace qwen::nvidia

#endif // QWEN_COMPILER_CODEGEN_NVIDIA_HEADLOSS_H
