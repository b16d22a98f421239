//===- ContractForm.h - What a kernel of a product multiplies ---*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_CODEGEN_CONTRACTFORM_H
#define QWEN_COMPILER_CODEGEN_CONTRACTFORM_H

#include "dialects/Kernel/KernelDialect.h"

namespace qwen::codegen {

/// Up to so many rows of activations a product streams the weights once.
inline constexpr int64_t kFewRows = 8;

/// How the right operand of a product lies in memory: as its numbers, or as a
/// quantized form of them (dialects/Qwen/Storage.h).
enum class WeightForm { Plain, Int8, Int4 };

/// The product of a contract kernel, and where its operands are.
struct ContractForm {
  /// Which operand is stored transposed. C[i, j] = sum_r A(i, r) B(r, j) with
  ///   NT "mk,nk->mn": A(i, r) = a[i * lda + r], B(r, j) = b[j * ldb + r]
  ///   NN "mk,kn->mn": A(i, r) = a[i * lda + r], B(r, j) = b[r * ldb + j]
  ///   TN "mn,mk->nk": A(i, r) = a[r * lda + i], B(r, j) = b[r * ldb + j]
  enum class Layout { NT, NN, TN };

  /// Errors at the kernel for what no target has code for: not one product,
  /// operands that are computed, other element types or products.
  static mlir::FailureOr<ContractForm> of(kernel::FuncOp kernel);

  kernel::FuncOp fn;
  kernel::ContractOp product;
  kernel::ReturnOp results;
  Layout layout;
  WeightForm weights = WeightForm::Plain;
  /// Arguments of the kernel; `steps` are those of int4, else null.
  mlir::BlockArgument lhs, rhs, steps;
  /// Element types that are multiplied: f32 or bf16.
  mlir::Type lhsElement, rhsElement;
  /// Sizes of the result and of the summed dimension; kDynamic: the rows.
  int64_t m, n, k;

  /// Whether the result has a row for each row of the activations.
  bool rowsOfResult() const { return mlir::ShapedType::isDynamic(m); }
  /// Columns of an operand of the product, as it is in memory.
  int64_t lhsColumns() const { return layout == Layout::TN ? m : k; }
  int64_t rhsColumns() const { return layout == Layout::NT ? k : n; }
};

} // namespace qwen::codegen

#endif // QWEN_COMPILER_CODEGEN_CONTRACTFORM_H
