//===- ViewRegion.h - Where a parameter lies in a file tensor ---*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_RUNTIME_WEIGHTS_VIEWREGION_H
#define QWEN_RUNTIME_WEIGHTS_VIEWREGION_H

#include "runtime/core/Error.h"
#include "runtime/core/Manifest.h"

#include <cstdint>
#include <vector>

namespace qrt {

/// A block of a logical matrix (of a vector: of its n x 1 matrix).
struct MatrixBlock {
  int64_t row = 0, rows = 0;
  int64_t col = 0, cols = 0;
};

struct RegionPiece;

/// A file view in the form that loops want. The file's tensor is a matrix of
/// fileRows x fileCols (a vector: n x 1), of which the parameter is the block
/// of numRows x numCols at (firstRow, firstCol), perhaps transposed, perhaps
/// with permuted rows.
struct ViewRegion {
  int64_t fileRows = 0, fileCols = 0;
  int64_t firstRow = 0, firstCol = 0;
  int64_t numRows = 0, numCols = 0;
  bool transpose = false;
  int64_t headRows = 0; ///< rows of one head, when rows are permuted; else 0
  int64_t in = 0;       ///< columns of the logical matrix

  /// Errors: Q3024, if the view does not fit the parameter.
  static Expected<ViewRegion> make(const ParameterInfo &parameter,
                                   const FileView &view);

  /// True if the block is the logical matrix as it is, in one piece.
  bool isPlain() const {
    return !transpose && headRows == 0 && numCols == fileCols;
  }
  /// The logical row of a row of the file's order. Files with rotary pairs side
  /// by side (2 j, 2 j + 1) have the halves (j, j + d/2) apart in memory.
  int64_t logicalRow(int64_t row) const {
    if (headRows == 0)
      return row;
    int64_t head = row / headRows, inside = row % headRows;
    return head * headRows + (inside % 2) * (headRows / 2) + inside / 2;
  }

  /// Where a block of the logical matrix lies in the file: regions whose
  /// logical matrix is the block, dense by itself. One, unless the block cuts
  /// heads whose rows are permuted; then one for each row of the file.
  std::vector<RegionPiece> piecesOf(const MatrixBlock &block) const;

  /// Copies rows [begin, end) of the block (counted inside it) between `block`,
  /// dense rows of numCols elements at distance `stride`, and the logical
  /// matrix.
  /// The matrix may be bf16 (uint16_t): then values are rounded, or widened.
  template <typename T>
  void scatter(int64_t begin, int64_t end, const float *block, int64_t stride,
               T *logical) const;
  template <typename T>
  void gather(int64_t begin, int64_t end, const T *logical, float *block,
              int64_t stride) const;
};

/// A region that fills the local matrix from element `offset` on.
struct RegionPiece {
  ViewRegion region;
  int64_t offset = 0;
};

} // namespace qrt

#endif // QWEN_RUNTIME_WEIGHTS_VIEWREGION_H
