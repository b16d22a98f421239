//===- Epilogue.h - Elementwise code behind a product -----------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_CODEGEN_EPILOGUE_H
#define QWEN_COMPILER_CODEGEN_EPILOGUE_H

#include "compiler/Codegen/ElementBuilder.h"
#include "llvm/ADT/DenseMap.h"

#include <functional>

namespace qwen::codegen {

/// Evaluates the elementwise ops of a kernel at `lanes` neighbouring columns of
/// one row (0: a scalar). A value of a narrower float type is kept in f32,
/// already rounded.
class Epilogue {
public:
  /// Loads the lanes of `element` from element `offset` of `pointer` on, as
  /// f32.
  using LoadLanes = std::function<mlir::Value(
      mlir::Type element, mlir::Value pointer, mlir::Value offset)>;

  /// `product` is the value that is known. `loadLanes` (null: all lanes are
  /// there) says how.
  Epilogue(ElementBuilder &b, mlir::Value product, int64_t lanes,
           LoadLanes loadLanes = nullptr)
      : b(b), product(product), lanes(lanes), loadLanes(std::move(loadLanes)) {}

  /// Moves to a row and its column; `known` are the product's values there.
  void moveTo(mlir::Value row, mlir::Value column, mlir::Value known);

  /// `value` (rank 2: row, column); an error at an op that is not elementwise.
  mlir::FailureOr<mlir::Value> evaluate(mlir::Value value);
  /// All of `values`, before any of them is stored: a result may share memory
  /// with an operand.
  mlir::FailureOr<llvm::SmallVector<mlir::Value>>
  evaluateAll(mlir::ValueRange values);

private:
  /// The index of one dimension of a value.
  enum class Coordinate { Row, Column, Zero };
  using Coordinates = llvm::SmallVector<Coordinate, 2>;

  mlir::FailureOr<mlir::Value> evaluate(mlir::Value value,
                                        const Coordinates &at);
  mlir::Value loadArgument(mlir::BlockArgument argument, const Coordinates &at);
  mlir::Value spread(mlir::Value scalar);

  ElementBuilder &b;
  mlir::Value product;
  int64_t lanes;
  LoadLanes loadLanes;
  mlir::Value row, column, known;
  llvm::DenseMap<mlir::Value,
                 llvm::SmallVector<std::pair<Coordinates, mlir::Value>>>
      memo;
};

} // namespace qwen::codegen

#endif // QWEN_COMPILER_CODEGEN_EPILOGUE_H
