//===- RowEval.h - Evaluates the elementary ops of a kernel -----*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A kernel's body is a graph of elementary ops on tensors. RowEval gives any
// value of it at one row and some of its columns, on demand: an emitter makes
// the loops and asks for what it wants to store. A value's last dimension is
// its columns, the ones before it are its row, given by one index each. How the
// columns of a row are gone through, in a loop or by many threads, is what a
// target adds.
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_CODEGEN_ROWEVAL_H
#define QWEN_COMPILER_CODEGEN_ROWEVAL_H

#include "compiler/Codegen/ElementBuilder.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/DenseSet.h"

namespace qwen::codegen {

/// Columns `variable + offset`, ... of a row. All that the variable can reach
/// lies in [low, high): this decides which side of a concat is meant.
struct Column {
  mlir::Value variable; // i64; null for 0
  int64_t offset = 0;
  int64_t low = 0, high = 0;

  Column shifted(int64_t by) const {
    return {variable, offset + by, low + by, high + by};
  }
};

class RowEval {
public:
  using Value = mlir::Value;
  using Index = llvm::ArrayRef<Value>;

  /// `flat`: every value that is no scalar has the same shape, and the column
  /// counts through all of its elements.
  RowEval(ElementBuilder &builder, kernel::FuncOp kernel, bool flat = false)
      : kernel(kernel), flat(flat), k(builder) {}
  virtual ~RowEval() = default;

  /// The element of `value` at `index` (one number for each dimension).
  /// Reductions on the way are computed.
  Value scalar(Value value, Index index);
  /// `lanes` columns of `value` (0: one column, as a scalar) at row `index`.
  Value lanes(Value value, Index index, Column column, int64_t lanes);
  /// Computes now what `value` needs once a row. To be called before the loop
  /// over columns, at the row's place.
  void hoist(Value value, Index index);

  /// Makes `value` known here, such as a sum computed by an earlier task.
  void define(Value value, Index index, Value number);
  void defineLanes(Value value, Index index, Column column, int64_t lanes,
                   Value number);
  /// Where a row of an argument begins.
  Value rowPointer(mlir::BlockArgument argument, Index index, Value base = {});
  /// Offset in elements of a row of a tensor of `type`.
  Value rowOffset(mlir::RankedTensorType type, Index index);

  /// Runs `body` and forgets what was computed inside: it does not dominate
  /// what comes after.
  void scope(llvm::function_ref<void()> body);

  /// The columns at which `value` changes its form (sides of concats).
  static llvm::SmallVector<int64_t> breaks(Value value);

protected:
  /// Defines the result of `op`, and may those of its peers.
  virtual void reduce(kernel::ReduceOp op, Index index) = 0;
  /// The reductions that can share a loop with `op`: of one depth, so that none
  /// depends on another, and over the same rows.
  llvm::SmallVector<kernel::ReduceOp> peersOf(kernel::ReduceOp op);

  struct Known {
    Value value;
    llvm::SmallVector<Value, 3> index;
    Value variable;
    int64_t offset; // kScalar for scalars, kPointer for rows of arguments
    int64_t lanes;
    Value result;
  };
  static constexpr int64_t kScalar = -1, kPointer = -2, kHoisted = -3,
                           kStored = -4;

  Value lookup(Value value, Index index, Value variable, int64_t offset,
               int64_t lanes);
  Value remember(Value value, Index index, Value variable, int64_t offset,
                 int64_t lanes, Value result);

  kernel::FuncOp kernel;
  bool flat;

private:
  Value evaluate(Value value, Index index, const Column *column, int64_t lanes);
  Value load(mlir::BlockArgument argument, Index index, const Column *column,
             int64_t lanes);
  Value constant(mlir::arith::ConstantOp op, Index index, const Column *column,
                 int64_t lanes);
  Value broadcast(kernel::BroadcastOp op, Index index, const Column *column,
                  int64_t lanes);
  Value gather(kernel::GatherOp op, Index index, const Column *column,
               int64_t lanes);
  Value gatherRow(kernel::GatherOp op, Index index);
  Value loadAt(mlir::Type element, int64_t lanes, Value row,
               const Column *column);
  int64_t depth(Value value);
  static void collectBreaks(Value value, int64_t shift,
                            llvm::DenseSet<std::pair<Value, int64_t>> &seen,
                            llvm::SmallVectorImpl<int64_t> &result);
  /// The operand's part of a broadcast's index; whether the columns are in it.
  bool mapIndex(kernel::BroadcastOp op, Index index, bool hasColumn,
                llvm::SmallVectorImpl<Value> &mapped);

  ElementBuilder &k;
  llvm::SmallVector<Known> known;
  llvm::DenseMap<Value, int64_t> depths;
};

/// Reports the first op of the kernel's body that RowEval cannot evaluate.
mlir::LogicalResult checkBody(kernel::FuncOp kernel);

/// Values without dimensions, or of the shape of all results, only: one loop
/// over all elements will do. `roots` are the values to compute.
bool isFlat(mlir::ValueRange roots);

/// The kernel.return.
kernel::ReturnOp returnOf(kernel::FuncOp kernel);

inline mlir::RankedTensorType tensorOf(mlir::Value value) {
  return llvm::cast<mlir::RankedTensorType>(value.getType());
}
/// Number of elements: product of the static sizes, with each of the leading
/// dynamic ones counted as 1 (together they are the rows).
int64_t staticElements(mlir::RankedTensorType type);
/// Bytes of `staticElements` elements.
int64_t staticBytes(mlir::RankedTensorType type);

} // namespace qwen::codegen

#endif // QWEN_COMPILER_CODEGEN_ROWEVAL_H
