//===- TileEpilogue.h - Elementwise code on sums of a product -*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_CODEGEN_NVIDIA_TILEEPILOGUE_H
#define QWEN_COMPILER_CODEGEN_NVIDIA_TILEEPILOGUE_H

#include "compiler/Codegen/Nvidia/KernelBuilder.h"
#include "llvm/ADT/DenseMap.h"

namespace qwen::nvidia {

/// Evaluates the elementwise ops of a kernel at `lanes` neighbouring columns of
/// one row (0: a scalar). A value of a narrower float type is kept in f32,
/// already rounded.
class TileEpilogue {
public:
  /// `product` is the value whose sums are known.
  TileEpilogue(KernelBuilder &k, mlir::Value product, int64_t lanes)
      : k(k), product(product), lanes(lanes) {}

  /// Moves to a row and its column; `sums` are the product's values there.
  void moveTo(mlir::Value row, mlir::Value column, mlir::Value sums);

  /// `value` (rank 2: row, column); an error at an op that is not elementwise.
  mlir::FailureOr<mlir::Value> evaluate(mlir::Value value);

private:
  /// The index of one dimension of a value.
  enum class Coordinate { Row, Column, Zero };
  using Coordinates = llvm::SmallVector<Coordinate, 2>;

  mlir::FailureOr<mlir::Value> evaluate(mlir::Value value,
                                        const Coordinates &at);
  mlir::Value loadArgument(mlir::BlockArgument argument, const Coordinates &at);
  mlir::Value spread(mlir::Value scalar);

  KernelBuilder &k;
  mlir::Value product;
  int64_t lanes;
  mlir::Value row, column, sums;
  llvm::DenseMap<mlir::Value,
                 llvm::SmallVector<std::pair<Coordinates, mlir::Value>>>
      memo;
};

} // namespace qwen::nvidia

#endif // QWEN_COMPILER_CODEGEN_NVIDIA_TILEEPILOGUE_H
