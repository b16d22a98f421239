//===- Inputs.h - Random inputs for functions -------------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_ORACLE_INPUTS_H
#define QWEN_COMPILER_ORACLE_INPUTS_H

#include "compiler/Oracle/Interpreter.h"

namespace qwen::oracle {

/// Draws tensors from a seed. Floats are uniform in [-1, 1), integers in
/// {0, 1, 2, 3}, second moments and `hyper` of an optimizer in [0.1, 0.9);
/// `ranges` (low, high; an integer may be high) overrides that by name. A
/// tensor depends on seed and name alone: it is the same before and after a
/// pass that adds arguments.
class InputGenerator {
public:
  struct Range {
    double low, high;
  };

  explicit InputGenerator(uint64_t seed) : seed(seed) {}

  /// One tensor, rounded to the type; a given one of another size is repeated
  /// or cut.
  Tensor make(llvm::StringRef name, mlir::RankedTensorType type) const;
  /// The arguments of `func`; an argument's name is its qwen.name, else argN.
  std::vector<Tensor> makeArguments(mlir::func::FuncOp func) const;
  /// All parameters of `module`.
  Parameters makeParameters(mlir::ModuleOp module) const;

  llvm::StringMap<Range> ranges;
  /// Tensors that are given instead of drawn: all elements in row-major order.
  llvm::StringMap<std::vector<double>> given;

private:
  uint64_t seed;
};

} // namespace qwen::oracle

#endif // QWEN_COMPILER_ORACLE_INPUTS_H
