//===- Elementary.h - The elementary ops, computed --------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_ORACLE_ELEMENTARY_H
#define QWEN_COMPILER_ORACLE_ELEMENTARY_H

#include "compiler/Oracle/Tensor.h"
#include "mlir/IR/Operation.h"

namespace qwen::oracle {

/// The result of one elementary op (`arith` and `math` on tensors, the first
/// section of `kernel`) of static types. Fails with a diagnostic on any other
/// op.
///
/// Sums are formed in f64 and rounded once: the order of a sum is no part of an
/// op's meaning.
llvm::FailureOr<Tensor> evaluate(mlir::Operation *op,
                                 llvm::ArrayRef<const Tensor *> operands);

} // namespace qwen::oracle

#endif // QWEN_COMPILER_ORACLE_ELEMENTARY_H
