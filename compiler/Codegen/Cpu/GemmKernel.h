//===- GemmKernel.h - Matrix products of any size ---------------*- C++ -*-===//
//
// Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// One private function per form and element types multiplies strided matrices
// of run-time sizes on the calling worker; the emitters of products, attention
// and cross entropy call it for their tiles. It packs both operands into
// scratch, so its inner loop sees the same layout in every case.
//
//===----------------------------------------------------------------------===//

#ifndef QWEN_COMPILER_CODEGEN_CPU_GEMMKERNEL_H
#define QWEN_COMPILER_CODEGEN_CPU_GEMMKERNEL_H

#include "compiler/Codegen/Cpu/SimdBuilder.h"

namespace qwen::cpu {

/// Which operand is stored transposed. C[i, j] = sum_r A(i, r) B(r, j) with
///   NT: A(i, r) = a[i * lda + r], B(r, j) = b[j * ldb + r]
///   NN: A(i, r) = a[i * lda + r], B(r, j) = b[r * ldb + j]
///   TN: A(i, r) = a[r * lda + i], B(r, j) = b[r * ldb + j]
enum class GemmForm { NT, NN, TN };

/// A product's static properties: they choose the function.
struct GemmKind {
  GemmForm form;
  mlir::Type lhs, rhs; // f32 or bf16
};

/// A strided matrix in memory; `stride` counts elements from row to row.
struct Matrix {
  mlir::Value base, stride;
};

/// Bytes of scratch that a call needs, 64-byte aligned.
int64_t gemmScratchBytes(const CpuTarget &target);

/// Emits a call: C (f32) = A B, or C += A B if `accumulate` (i64, not 0).
/// Writes exactly the m x n elements of C. Requires k >= 1.
void emitGemm(SimdBuilder &b, mlir::ModuleOp module, const GemmKind &kind,
              Matrix lhs, Matrix rhs, Matrix out, mlir::Value m, mlir::Value n,
              mlir::Value k, mlir::Value accumulate, mlir::Value scratch);

} // namespace qwen::cpu

#endif // QWEN_COMPILER_CODEGEN_CPU_GEMMKERNEL_H
