//===- Epilogue.h - Elementwise code on a tile of a product -----*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_CODEGEN_CPU_EPILOGUE_H
#define QWEN_COMPILER_CODEGEN_CPU_EPILOGUE_H

#include "compiler/Codegen/Cpu/SimdBuilder.h"
#include "llvm/ADT/DenseMap.h"

namespace qwen::cpu {

/// Evaluates the elementwise ops of a kernel at 16 columns of one row. A value
/// of a narrower float type is kept in f32 lanes, already rounded.
class Epilogue {
public:
  /// `pointers` maps the kernel's arguments to their memory; `product` is the
  /// value that the tile holds.
  Epilogue(SimdBuilder &b, mlir::Value product,
           const llvm::DenseMap<mlir::Value, mlir::Value> &pointers)
      : b(b), product(product), pointers(pointers) {}

  /// Moves to 16 columns of a row; `lanes` are the product's values there and
  /// `mask` (null: all) the columns that exist.
  void moveTo(mlir::Value row, mlir::Value column, mlir::Value lanes,
              mlir::Value mask);

  /// `value` (rank 2: row, column) as 16 lanes; an error at an op that is not
  /// elementwise.
  mlir::FailureOr<mlir::Value> evaluate(mlir::Value value);

private:
  /// The index of one dimension of a value.
  enum class Coordinate { Row, Column, Zero };
  using Coordinates = llvm::SmallVector<Coordinate, 2>;

  mlir::FailureOr<mlir::Value> evaluate(mlir::Value value,
                                        const Coordinates &at);
  mlir::Value loadArgument(mlir::Value argument, const Coordinates &at);

  SimdBuilder &b;
  mlir::Value product;
  const llvm::DenseMap<mlir::Value, mlir::Value> &pointers;
  mlir::Value row, column, lanes, mask;
  llvm::DenseMap<mlir::Value,
                 llvm::SmallVector<std::pair<Coordinates, mlir::Value>>>
      memo;
};

} // namespace qwen::cpu

#endif // QWEN_COMPILER_CODEGEN_CPU_EPILOGUE_H
