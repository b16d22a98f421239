//===- Checks.h - Checks by execution ---------------------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_ORACLE_CHECKS_H
#define QWEN_COMPILER_ORACLE_CHECKS_H

#include "compiler/Oracle/Inputs.h"
#include "compiler/Oracle/Prepare.h"

namespace qwen::oracle {

/// The results of `name` in a copy of `module`, run in `precision`.
mlir::FailureOr<std::vector<Tensor>> runFunction(mlir::ModuleOp module,
                                                 llvm::StringRef name,
                                                 Precision precision,
                                                 const InputGenerator &inputs);

/// What a gradient check found of one argument or parameter.
struct GradientError {
  std::string name;
  /// Elements compared and all elements.
  int64_t compared, total;
  /// max |difference quotient - derivative| / max(largest of either, 1e-3).
  double relative;
  /// The worst element: index, difference quotient, derivative.
  int64_t worst;
  double expected, actual;
};

/// Compares the derivatives of `name` by each float argument and parameter with
/// central differences (f(x + h) - f(x - h)) / 2h, h = 1e-5, in f64. The float
/// results are contracted with random cotangents. Of a tensor of more than 256
/// elements an even sample of them is compared. Takes the derivative from
/// `<name>_grad` if the module has it, else from the rules.
mlir::FailureOr<std::vector<GradientError>>
checkGradient(mlir::ModuleOp module, llvm::StringRef name,
              const InputGenerator &inputs);

/// Compares the first half of the results of `name` with the second half. Fails
/// with a diagnostic unless every |x - y| <= tolerance max(1, |y|).
mlir::LogicalResult checkValues(mlir::ModuleOp module, llvm::StringRef name,
                                Precision precision, double tolerance,
                                const InputGenerator &inputs);

/// Runs `name` before and after the pass form-kernels. Fails with a diagnostic
/// unless every element of every result is bitwise the same; else returns the
/// number of kernels launched, those inside of layers counted once.
mlir::FailureOr<int64_t> checkFusion(mlir::ModuleOp module,
                                     llvm::StringRef name, Precision precision,
                                     const InputGenerator &inputs);

/// Runs the entry `name`, which the memory phase has planned, and keeps the
/// bytes of its arena and slots as kernels would. Fails with a diagnostic where
/// a kernel does not find an operand in its place; else returns the arena's
/// bytes.
mlir::FailureOr<int64_t> checkMemory(mlir::ModuleOp module,
                                     llvm::StringRef name,
                                     const InputGenerator &inputs);

} // namespace qwen::oracle

#endif // QWEN_COMPILER_ORACLE_CHECKS_H
