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

#include "compiler/Codegen/ContractForm.h"
#include "compiler/Codegen/Cpu/SimdBuilder.h"

namespace qwen::cpu {

using GemmForm = ContractForm::Layout;

/// A product's static properties: they choose the function.
struct GemmKind {
  GemmForm form;
  mlir::Type lhs, rhs; // f32 or bf16
};

/// A strided matrix in memory; `stride` counts elements from row to row.
struct Matrix {
  mlir::Value base, stride;
};

/// Whether a later call can use the packed B of a product with n columns and
/// k products a sum again.
bool gemmKeepsPacked(const GemmKind &kind, const CpuTarget &target, int64_t n,
                     int64_t k);

/// Bytes of scratch that a call of any kind needs: packed A, packed B.
int64_t gemmScratchBytes(const CpuTarget &target);
/// Bytes of the packed B alone.
int64_t gemmPackedBytes(const CpuTarget &target);

/// One product: C (f32) = A B, or C += A B if `accumulate` (i64) is not 0.
/// Writes exactly the m x n elements of C; k >= 1.
struct GemmCall {
  GemmKind kind;
  Matrix lhs, rhs, out;
  mlir::Value m, n, k;
  mlir::Value accumulate;
  /// gemmScratchBytes of private memory, 64-byte aligned.
  mlir::Value scratch;
  /// Where B is packed, gemmPackedBytes; null: in the scratch.
  mlir::Value packed = {};
  /// Not 0 (i64): `packed` holds this B from a call before, of the same kind
  /// and within the limits; null: it does not.
  mlir::Value reuse = {};
};

void emitGemm(SimdBuilder &b, mlir::ModuleOp module, const GemmCall &call);

/// The same for form NT and few rows m: no packing, no scratch, and always
/// C = A B; B may also be of i8.
void emitGemv(SimdBuilder &b, mlir::ModuleOp module, const GemmCall &call);

/// How far ahead of its reading a stream over blocks of rows of `blockBytes`
/// asks for memory: bytes, a multiple of the block.
mlir::Value prefetchDistance(SimdBuilder &b, mlir::Value blockBytes);

} // namespace qwen::cpu

#endif // QWEN_COMPILER_CODEGEN_CPU_GEMMKERNEL_H
