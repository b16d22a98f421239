//===- Tensor.h - Values of the oracle --------------------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Every element is held as a double, whatever its type, and is exact in that
// type: a sum, difference, product, quotient or square root that is rounded to
// f64 and then to f32 is the one that f32 arithmetic gives.
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_ORACLE_TENSOR_H
#define QWEN_COMPILER_ORACLE_TENSOR_H

#include "mlir/IR/BuiltinTypes.h"
#include "llvm/Support/raw_ostream.h"

#include <vector>

namespace qwen::oracle {

/// `value` rounded to `element` (floats to nearest even, integers wrapped).
double roundTo(double value, mlir::Type element);

/// A dense row-major tensor of static shape.
struct Tensor {
  mlir::RankedTensorType type;
  std::vector<double> values;

  Tensor() = default;
  /// Zeros.
  explicit Tensor(mlir::RankedTensorType type)
      : type(type), values(type.getNumElements()) {}

  int64_t size() const { return values.size(); }
  int64_t dim(int64_t i) const { return type.getDimSize(i); }
  bool isFloat() const {
    return llvm::isa<mlir::FloatType>(type.getElementType());
  }
  /// Rounds every element to the tensor's type.
  void round();
  /// A hash of the elements' bits; all NaNs are one value.
  uint64_t checksum() const;
  /// All elements, in brackets, with enough digits to read them back.
  void print(llvm::raw_ostream &os) const;
};

/// The same elements in another type of as many.
Tensor reshape(const Tensor &tensor, mlir::RankedTensorType type);

/// Layer `index` of a stack, and back.
Tensor takeLayer(const Tensor &stack, int64_t index);
void putLayer(Tensor &stack, int64_t index, const Tensor &layer);

/// The row-major strides of a shape.
llvm::SmallVector<int64_t> strides(llvm::ArrayRef<int64_t> shape);

} // namespace qwen::oracle

#endif // QWEN_COMPILER_ORACLE_TENSOR_H
