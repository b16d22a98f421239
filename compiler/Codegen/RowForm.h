//===- RowForm.h - The rows and columns of a row-wise kernel -- -*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_CODEGEN_ROWFORM_H
#define QWEN_COMPILER_CODEGEN_ROWFORM_H

#include "compiler/Codegen/RowEval.h"

namespace qwen::codegen {

/// What of a row-wise kernel is computed for each row.
struct RowForm {
  /// Results with columns, of one width.
  struct Group {
    int64_t width;
    llvm::SmallVector<unsigned> results;
    llvm::SmallVector<int64_t> edges; // where segments begin, and the width

    int64_t segments() const { return edges.size() - 1; }
    /// Segments of one size can be computed side by side.
    bool isUniform() const {
      for (int64_t i = 1; i < segments(); ++i)
        if (edges[i + 1] - edges[i] != edges[1])
          return false;
      return true;
    }
  };

  /// The dimensions before the columns.
  llvm::SmallVector<int64_t> rows;
  llvm::SmallVector<Group> groups;
  llvm::SmallVector<unsigned> perRow; // results without columns

  /// Fills the form, or reports what of `kernel` is not row-wise.
  mlir::LogicalResult analyze(kernel::FuncOp kernel);

private:
  mlir::LogicalResult checkInPlace(kernel::FuncOp kernel);
};

} // namespace qwen::codegen

#endif // QWEN_COMPILER_CODEGEN_ROWFORM_H
