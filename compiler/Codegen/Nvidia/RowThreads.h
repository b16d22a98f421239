//===- RowThreads.h - Threads that share a row ---------------- -*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The columns of a row are divided among consecutive threads: thread t has the
// columns t V, ..., t V + V - 1 of every stretch of (threads x V) columns. All
// stretches are unrolled, so that what a thread has loaded for a reduction is
// still in registers when the results are computed.
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_CODEGEN_NVIDIA_ROWTHREADS_H
#define QWEN_COMPILER_CODEGEN_NVIDIA_ROWTHREADS_H

#include "compiler/Codegen/Nvidia/KernelBuilder.h"
#include "compiler/Codegen/RowEval.h"
#include "compiler/Codegen/RowForm.h"

namespace qwen::nvidia {

/// How rows are divided among threads.
struct RowLayout {
  int64_t lanes = 1;  ///< V: columns that a thread takes at once
  int64_t group = 1;  ///< threads of a row: a power of two
  int64_t block = 32; ///< threads of a block

  int64_t rowsPerBlock() const { return block / group; }
};

/// The layout for a kernel's rows; an error if they are too wide.
mlir::FailureOr<RowLayout> layoutOf(kernel::FuncOp kernel, const RowForm &form);

/// The most lanes that all accesses of a kernel to columns can have: 16 bytes
/// of its narrowest tensor, and aligned in every row and at the columns
/// `edges`. `rows`: the dimensions before the columns.
int64_t lanesFor(kernel::FuncOp kernel, llvm::ArrayRef<int64_t> rows,
                 llvm::ArrayRef<int64_t> edges);

/// The most lanes of accesses that go through all elements of tensors, which
/// have one shape: 16 bytes of the narrowest, and aligned in tensors that are
/// aligned to their size only. Scalars do not count.
int64_t flatLanes(llvm::ArrayRef<mlir::Type> tensors);

class RowThreads : public RowEval {
public:
  RowThreads(KernelBuilder &builder, kernel::FuncOp kernel, bool flat = false)
      : RowEval(builder, kernel, flat), k(builder) {}

  /// What the threads of a row do together. To be set before anything with
  /// columns is evaluated.
  void setLayout(const RowLayout &layout, const RowForm &form);
  /// The thread's number among those of its row.
  Value threadOfRow() { return rowThread; }

  /// A thread's columns in one stretch.
  struct Piece {
    Column column;
    Value inside; ///< i1: the thread has columns there; null: every thread has
  };
  /// The pieces of [0, width). The same values for the same width.
  const llvm::SmallVector<Piece> &pieces(int64_t width);

private:
  void reduce(kernel::ReduceOp op, Index index) override;
  /// Where segments of the columns of `op` begin and end.
  llvm::SmallVector<int64_t> edgesOf(llvm::ArrayRef<kernel::ReduceOp> ops);

  KernelBuilder &k;
  RowLayout layout;
  const RowForm *form = nullptr;
  Value rowThread, firstColumn;
  std::map<int64_t, llvm::SmallVector<Piece>> known;
};

} // namespace qwen::nvidia

#endif // QWEN_COMPILER_CODEGEN_NVIDIA_ROWTHREADS_H
