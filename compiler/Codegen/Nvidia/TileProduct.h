//===- TileProduct.h - Products of tiles by a block -----------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A block holds a tile of f32 sums in registers, every thread the elements that
// it has in the results of mma.sync m16n8k16: with g = lane / 4 and t = lane %
// 4, rows g and g + 8 and columns 2t and 2t + 1 of each 16 x 8 fragment.
// Operands come from shared memory: of bf16 through ldmatrix and the tensor
// cores, of f32 by multiply-adds of the same elements, so that whatever works
// on sums is written once.
//
// Rows of a tile in shared memory are an odd number of 16-byte units apart:
// eight rows of ldmatrix lie in different banks, as with a swizzle, and tiles
// need not be powers of two wide.
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_CODEGEN_NVIDIA_TILEPRODUCT_H
#define QWEN_COMPILER_CODEGEN_NVIDIA_TILEPRODUCT_H

#include "compiler/Codegen/Nvidia/PackedWeights.h"

namespace qwen::nvidia {

/// The sums that one thread holds, row fragments first, then column fragments,
/// then the four elements of one.
using Sums = llvm::SmallVector<mlir::Value>;

/// How the warps of a block share a tile of m x n sums.
struct TileShape {
  int64_t m, n, warpsM, warpsN;

  int64_t threads() const { return kWarp * warpsM * warpsN; }
  int64_t warpRows() const { return m / warpsM; }    // of 16
  int64_t warpColumns() const { return n / warpsN; } // of 16
  int64_t rowFragments() const { return warpRows() / 16; }
  int64_t columnFragments() const { return warpColumns() / 8; }
  int64_t sums() const { return rowFragments() * columnFragments() * 4; }
  /// Where sum `index` is: fragment of rows and columns, the half of the rows,
  /// the odd column.
  struct Place {
    int64_t row, column, half, odd;
  };
  Place place(int64_t index) const {
    return {index / 4 / columnFragments(), index / 4 % columnFragments(),
            index / 2 % 2, index % 2};
  }
};

/// A matrix in global memory, rows `stride` elements apart. Elements outside of
/// [0, rows) x [0, columns) are zero.
struct GlobalMatrix {
  mlir::Value pointer;
  mlir::Type element;
  int64_t stride;
  mlir::Value rows, columns; // i64
  /// `columns` if it is known: with the stride it decides about 16-byte copies.
  int64_t staticColumns = 0;
  /// All rows begin at multiples of 16 bytes.
  bool isAligned = false;
  /// Packed forms become `element` on their way; `steps` are those of int4.
  WeightForm form = WeightForm::Plain;
  mlir::Value steps = {};
};

/// A matrix of `rows` x `columns` elements of f32 or bf16 in shared memory.
class SharedMatrix {
public:
  SharedMatrix() = default;
  SharedMatrix(KernelBuilder &k, mlir::Type element, int64_t rows,
               int64_t columns, int64_t copies = 1);

  /// The copy `index` (i64) of several.
  SharedMatrix copy(KernelBuilder &k, mlir::Value index) const;
  /// The address of an element.
  mlir::Value at(KernelBuilder &k, mlir::Value row, mlir::Value column) const;
  int64_t bytes() const;

  /// Starts to copy rows [row, ...) and columns [column, ...) of `source`, all
  /// threads of the block together. What is there later needs a commit, a wait
  /// and a barrier. `column` is a multiple of 8.
  void copyFrom(KernelBuilder &k, const GlobalMatrix &source, mlir::Value row,
                mlir::Value column) const;
  /// Stores sums, rounded to the element type.
  void store(KernelBuilder &k, const TileShape &shape,
             llvm::ArrayRef<mlir::Value> sums) const;

  mlir::Type element;
  int64_t rows = 0, columns = 0;

private:
  int64_t pitch() const; // bytes
  void unpackFrom(KernelBuilder &k, const GlobalMatrix &source, mlir::Value row,
                  mlir::Value column) const;
  mlir::Value base;
};

void commitCopies(KernelBuilder &k);
/// Waits until at most `pending` groups of this thread's copies are under way.
void waitForCopies(KernelBuilder &k, int64_t pending);

/// The thread's rows and columns in a tile.
class TilePlaces {
public:
  TilePlaces(KernelBuilder &k, const TileShape &shape);
  /// Relative to the tile (i64).
  mlir::Value row(int64_t fragment, int64_t half) const;
  mlir::Value column(int64_t fragment, int64_t odd) const;
  mlir::Value row(const TileShape::Place &place) const {
    return row(place.row, place.half);
  }
  mlir::Value column(const TileShape::Place &place) const {
    return column(place.column, place.odd);
  }

private:
  KernelBuilder &k;
  mlir::Value firstRow, firstColumn;
};

/// Zeros. The kernel takes the registers that a tile needs.
Sums zeroSums(KernelBuilder &k, const TileShape &shape);

/// How an operand lies in shared memory.
enum class Stored {
  ByRows,    ///< rows are the sums' rows (columns), columns the summed index
  Transposed ///< rows are the summed index
};

/// sums + a b^T over `depth` (a multiple of 16) of the summed index.
Sums multiply(KernelBuilder &k, const TileShape &shape, const SharedMatrix &a,
              Stored formA, const SharedMatrix &b, Stored formB, int64_t depth,
              llvm::ArrayRef<mlir::Value> sums);

/// A product whose operands stream from global memory in stages of the summed
/// index.
class StreamedProduct {
public:
  /// Elements of both operands in shared memory: bf16 if both are, else f32.
  static mlir::Type commonElement(mlir::Type lhs, mlir::Type rhs);

  StreamedProduct(KernelBuilder &k, const TileShape &shape, mlir::Type element,
                  Stored formA, Stored formB, int64_t depth, int64_t stages);

  /// Sums of rows [row, row + m) and columns [column, column + n) over [0,
  /// count) of the summed index, added to `sums`. Ends with a barrier: the
  /// stages may be used again.
  Sums run(const GlobalMatrix &a, const GlobalMatrix &b, mlir::Value row,
           mlir::Value column, mlir::Value count,
           llvm::ArrayRef<mlir::Value> sums);

private:
  KernelBuilder &k;
  TileShape shape;
  Stored formA, formB;
  int64_t depth, stages;
  SharedMatrix stagesA, stagesB;
};

} // namespace qwen::nvidia

#endif // QWEN_COMPILER_CODEGEN_NVIDIA_TILEPRODUCT_H
